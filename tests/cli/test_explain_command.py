"""``decodekit explain`` and ``decodekit replay --as-if``: a recorded step, and what would have been drawn there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import decodekit as library
from decodekit.testing import NGramAdapter
from tests.cli.conftest import TOY
from tests.cli.toy_adapters import TEXT

Calls = Callable[..., list[tuple[int, str, str]]]


def recorded(folder: Path) -> library.Session:
    session = library.Session(NGramAdapter(TEXT), "temperature=1.5 top_p=0.95", seed=7)
    session.generate_many(["the ", "a"], max_tokens=6, trace=folder / "run.jsonl", level="full")
    return session


def test_a_step_is_told_from_its_trace(one_after_another: Calls, tmp_path: Path) -> None:
    recorded(tmp_path)
    plain, named, data, other, hot, torn = one_after_another(
        [
            ["explain", "run.jsonl", "--step", "2"],
            ["explain", "run.jsonl", "--step", "2", *TOY],
            ["explain", "run.jsonl", "--step", "2", "--json"],
            ["explain", "run.jsonl", "--stream", str(1 << 32), "--as-if", "temperature=0.1", "--json"],
            ["explain", "run.jsonl", "--step", "0", "--as-if", "temperature=3", "--seed", "8", *TOY],
            ["explain", "run.jsonl", "--step", "0", "--chain", "top_k=1"],
        ]
    )
    assert [each[0] for each in (plain, named, data, other, hot, torn)] == [0] * 6
    assert "top_p" in plain[1] and "drift" in plain[1] and "seeds" in plain[1] and "check   " in plain[1]
    assert "after the " in named[1] and "#" not in named[1]  # every token has its text
    story = json.loads(data[1])
    assert (story["index"], story["verdict"], story["as_if"]) == (2, "proved", None)
    asked = json.loads(other[1])
    assert asked["stream"] == 1 << 32 and asked["index"] == 5
    assert set(asked["as_if"]) >= {"other", "probability", "chance", "tv", "why"}
    assert "as if" in hot[1] and "temperature=3 seed=8" in hot[1]


def test_a_trace_says_which_tokens_would_have_been_others(one_after_another: Calls, tmp_path: Path) -> None:
    recorded(tmp_path)
    shown, data, same = one_after_another(
        [
            ["replay", "run.jsonl", "--as-if", "temperature=2.5", "--seed", "8", *TOY],
            ["replay", "run.jsonl", "--as-if", "temperature=2.5", "--seed", "8", "--json"],
            ["replay", "run.jsonl", "--as-if", "temperature=1.5", "--json"],
        ]
    )
    found = library.replay(tmp_path / "run.jsonl", chain="temperature=2.5 top_p=0.95", seed=8)
    assert shown[0] == 0 and f"{found.changed} of 12 tokens would have been others" in shown[1]
    report = json.loads(data[1])
    assert [step["other"] for step in report["steps"]] == [step.other for step in found.steps]
    assert (report["changed"], report["unknown"]) == (found.changed, 0)
    assert json.loads(same[1])["changed"] == 0


def test_what_cannot_be_asked_is_one_line_and_exit_2(one_after_another: Calls, tmp_path: Path) -> None:
    recorded(tmp_path)
    wrong = [
        (["explain", "run.jsonl", "--step", "9"], "--step 9: no such step; there are steps 0 to 5"),
        (["explain", "run.jsonl", "--stream", "3"], "--stream 3: no step of it was recorded"),
        (["explain", "run.jsonl", "--as-if", "top_k=2"], "'top_k' replaces the part of that name"),
        (["replay", "run.jsonl", "--as-if", "top_p=0.5", "--chain", "top_k=2"], "give only one"),
        (["replay", "run.jsonl", "--seed", "-1"], "seed must be an integer"),
    ]
    for (code, out, err), (_, words) in zip(one_after_another([call for call, _ in wrong]), wrong, strict=True):
        assert (code, out) == (2, "") and words in err and err.count("\n") == 1
