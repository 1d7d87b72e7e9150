"""A constraint by a flag: the text is in the language, whatever the chain."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("llguidance")

from tests.cli.conftest import CHAIN, TOY, Decodekit

RUN = ("generate", "the ", *TOY, *CHAIN, "--seed", "7")
Calls = Callable[..., list[tuple[int, str, str]]]


def test_a_choice(decodekit: Decodekit) -> None:
    assert decodekit(*RUN, "--choice", "cow", "--choice", "dog").stdout in ("cow\n", "dog\n")


def test_a_regex_and_the_trace_of_it(decodekit: Decodekit) -> None:
    done = decodekit(*RUN, "--regex", "[a-z]{3} [a-z]{2}", "--json", "--trace", "run.jsonl")
    (result,) = json.loads(done.stdout)["results"]
    assert re.fullmatch("[a-z]{3} [a-z]{2}", result["text"]) and result["complete"] is True
    assert decodekit("verify", "run.jsonl").returncode == 0


def test_with_the_tokenizer_every_step_is_reproduced(one_after_another: Calls) -> None:
    _, alone, known, other, seed = one_after_another(
        [
            [*RUN, "--choice", "cow", "--trace", "run.jsonl", "--level", "full"],
            ["verify", "run.jsonl", "--chain"],
            ["verify", "run.jsonl", "--chain", *TOY],
            ["verify", "run.jsonl", "--chain", "--adapter", "hostile"],
            ["replay", "run.jsonl", "--seed", "8", "--json"],
        ]
    )
    assert alone[1].startswith("consistent") and "--model" in alone[1]
    assert known[0] == 0 and known[1].startswith("reproduced"), known
    assert other[0] == 2 and "fingerprint" in other[2], other
    assert "--model" in seed[1]


def test_a_schema(decodekit: Decodekit, tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text(json.dumps({"type": "array", "items": {"enum": ["cow"]}, "maxItems": 2}))
    done = decodekit(*RUN, "--json-schema", "schema.json", "--max-tokens", "60")
    assert set(json.loads(done.stdout)) <= {"cow"}


def test_one_for_many_prompts(decodekit: Decodekit, tmp_path: Path) -> None:
    (tmp_path / "prompts.jsonl").write_text('"the "\n"a "\n')
    call = ("generate", *TOY, "--prompts", "prompts.jsonl", "--out", "out.jsonl", "--seed", "1", "--choice", "cow")
    assert decodekit(*call).returncode == 0
    assert [json.loads(line)["text"] for line in (tmp_path / "out.jsonl").read_text().splitlines()] == ["cow", "cow"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--choice", "a", "--regex", "b"), "--regex and --choice both say what the text must be"),
        (("--json-schema", "none.json"), "none.json: No such file"),
        (("--json-schema", "wrong.json"), "wrong.json is not JSON"),
        (("--json-schema", "refused.json"), "at its root: Unimplemented keys"),
        (("--regex", "(?=a)b"), "look-around"),
    ],
)
def test_a_wrong_one_is_refused(decodekit: Decodekit, tmp_path: Path, flags: tuple[str, ...], message: str) -> None:
    (tmp_path / "wrong.json").write_text("{")
    (tmp_path / "refused.json").write_text('{"not": {}}')
    done = decodekit(*RUN, *flags)
    assert done.returncode == 2 and message in " ".join(done.stderr.split())
