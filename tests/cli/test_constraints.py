"""A constraint by a flag: the text is in the language, whatever the chain."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("llguidance")

from tests.cli.conftest import CHAIN, TOY, Decodekit

RUN = ("generate", "the ", *TOY, *CHAIN, "--seed", "7")


def test_a_choice(decodekit: Decodekit) -> None:
    assert decodekit(*RUN, "--choice", "cow", "--choice", "dog").stdout in ("cow\n", "dog\n")


def test_a_regex_and_the_trace_of_it(decodekit: Decodekit) -> None:
    done = decodekit(*RUN, "--regex", "[a-z]{3} [a-z]{2}", "--json", "--trace", "run.jsonl")
    (result,) = json.loads(done.stdout)["results"]
    assert re.fullmatch("[a-z]{3} [a-z]{2}", result["text"]) and result["complete"] is True
    assert decodekit("verify", "run.jsonl").returncode == 0


def test_the_trace_of_one_is_reproduced_and_asked_about_with_the_tokenizer_of_its_model(decodekit: Decodekit) -> None:
    decodekit(*RUN, "--regex", "[a-z]{3} [a-z]{2}", "--trace", "run.jsonl", "--level", "full")
    bare, whole = (decodekit("verify", "run.jsonl", "--chain", *model) for model in ((), TOY))
    way_out = "needs the tokenizer, which is never recorded (give it: tokenizer=, on the command line --model)"
    assert bare.stdout.startswith("consistent: ") and way_out in " ".join(bare.stdout.split())
    assert whole.stdout.startswith("reproduced: ") and whole.returncode == 0
    bare, whole = (decodekit("replay", "run.jsonl", "--as-if", "temperature=1.5", *model) for model in ((), TOY))
    assert way_out in " ".join(bare.stdout.split()) and "NotRecorded" not in bare.stdout
    assert "of 0 the record does not say" in whole.stdout
    other = decodekit("verify", "run.jsonl", "--adapter", "hostile")
    assert other.returncode == 2 and "the run had a tokenizer with the fingerprint" in other.stderr


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
        (("--json-schema", "refused.json"), "is not supported; leave it out"),
        (("--regex", "(?=a)b"), "look-around"),
    ],
)
def test_a_wrong_one_is_refused(decodekit: Decodekit, tmp_path: Path, flags: tuple[str, ...], message: str) -> None:
    (tmp_path / "wrong.json").write_text("{")
    (tmp_path / "refused.json").write_text('{"not": {}}')
    done = decodekit(*RUN, *flags)
    assert done.returncode == 2 and message in " ".join(done.stderr.split())
