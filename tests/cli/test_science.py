"""``decodekit score`` and ``decodekit sweep``."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from decodekit import Session
from decodekit.analysis import curves, score

from .conftest import TOY
from .toy_adapters import Top3, Toy

Calls = Callable[[Sequence[Sequence[str]]], list[tuple[int, str, str]]]
GIVEN = ("--given", "the cat sat on the ")
SWEEP = ("sweep", *TOY, "--prompt", "the cat sat on the ", "--answer", "mat", "--answer", "log")


def test_a_text_is_scored_as_a_table_and_as_json(one_after_another: Calls, tmp_path: Path) -> None:
    (tmp_path / "mat.txt").write_text("mat")
    (tmp_path / "many.jsonl").write_text('"mat"\n\n{"text": "log", "given": "on the ", "id": "x"}\n[109, 97, 116]\n')
    (tmp_path / "given.jsonl").write_text('{"text": "log", "given": "on the "}\n')
    calls = [
        ("score", *TOY, *GIVEN, "mat"),
        ("score", *TOY, *GIVEN, "mat", "--json"),
        ("score", *TOY, *GIVEN, "--file", "mat.txt", "--json", "--plot", "p.svg"),
        ("score", *TOY, *GIVEN, "--texts", "many.jsonl", "--json"),
        ("score", *TOY, *GIVEN, "--texts", "many.jsonl"),
        ("score", *TOY, "mat"),
        ("score", "--adapter", "awaited", *GIVEN, "mat", "--json"),
        ("score", *TOY, "--texts", "given.jsonl"),
    ]
    found = one_after_another(calls)
    assert [each[0] for each in found] == [0] * 8, found
    shown, as_json, file, many, listed, alone, awaited, given = found
    exact = score(Toy(), "mat", given="the cat sat on the ")
    assert f"{exact.logprobs[0]:.3f}".lstrip("-") in shown[1] and f"{exact.perplexity:.4f}" in shown[1]
    data = json.loads(as_json[1])
    assert data["logprob"] == exact.logprobs.tolist() and data["rank"] == exact.ranks.astype(int).tolist()
    assert data["total"] == exact.total and data["bits_per_byte"] == exact.bits_per_byte
    assert awaited[1] == as_json[1] and json.loads(file[1]) == data and (tmp_path / "p.svg").exists()
    lines = [json.loads(line) for line in many[1].splitlines()]
    assert [line["id"] for line in lines] == [0, "x", 2] and lines[0]["total"] == lines[2]["total"] == data["total"]
    assert lines[1]["total"] == score(Toy(), "log", given="on the ").total
    assert "x" in listed[1] and f"{exact.total:.4f}" in listed[1]
    assert "the first token" in alone[2] and '"m"' not in alone[1] and "the first token" not in given[2]


def test_answers_are_swept_over_temperatures(one_after_another: Calls, tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").write_text('"mat"\n{"text": "log"}\n')
    from_file = (*SWEEP[:5], "--answers", "answers.jsonl")
    calls = [
        (*SWEEP, "--temperatures", "0:2:0.5", "--json", "--near", "2"),
        (*from_file, "--temperatures", "2,1.5,1,0.5,0", "--json", "--near", "2", "--plot", "p.png"),
        (*SWEEP, "--temperatures", "0,1,inf", "--plot", "p.svg"),
        (*SWEEP, "--temperatures", "0.5:60:0.5", "--near", "1"),
        (*SWEEP, "--temperatures", "1", "--chain", "top_p=0.5"),
    ]
    found, again, endless, shown, cut = all_found = one_after_another(calls)
    assert [each[0] for each in all_found] == [0] * 5, all_found
    assert "a temperature of infinity has no place on the axis" in endless[2] and "infinity" not in again[2]
    under = curves(Toy(), "the cat sat on the ", ["mat"], [1], chain="top_p=0.5")
    assert f"{100 * np.exp(under.logprobs[0, 0]):.3g} %" in cut[1] and "entropy" not in cut[1]
    exact = curves(Toy(), "the cat sat on the ", ["mat", "log"], [0, 0.5, 1, 1.5, 2], near=2)
    data = json.loads(found[1])
    assert data == json.loads(again[1]) and (tmp_path / "p.png").exists()
    assert data["temperatures"] == [0, 0.5, 1, 1.5, 2] and data["together"] == exact.together.values.tolist()
    assert data["answers"][0]["logprob"][2] == exact.logprobs[0, 2]
    assert data["answers"][0]["logprob"][2] == pytest.approx(
        Session(Toy()).score("the cat sat on the ", "mat").total, abs=1e-9
    )
    assert '"mat"' in shown[1] and "near misses" in shown[1] and "rest" in shown[1]


def test_where_an_adapter_shows_little_there_are_intervals(one_after_another: Calls) -> None:
    top3 = ("--adapter", "top3")
    scored, swept = one_after_another(
        [
            ("score", *top3, "--given", "thec", "ow", "--json"),
            ("sweep", *top3, "--prompt", "thec", "--answer", "q", "--temperatures", "1", "--json"),
        ]
    )
    assert (scored[0], swept[0]) == (0, 0), scored[2] + swept[2]
    data, exact = json.loads(scored[1]), score(Top3(), "ow", given="thec")
    assert data["entropy"]["low"] == exact.entropy.low.tolist()
    answer = json.loads(swept[1])["answers"][0]["logprob"]
    assert answer["low"] == ["-inf"] and -math.inf < answer["high"][0] < 0
    assert np.isfinite(data["entropy"]["high"]).all()


WRONG: list[tuple[Sequence[str], str]] = [
    (("score", *TOY), "which text?"),
    (("score", *TOY, "a", "--texts", "b"), "which text?"),
    (("score", "a"), "which model?"),
    (("score", *TOY, "--texts", "none.jsonl"), "--texts: cannot read none.jsonl"),
    (("score", *TOY, "--texts", "bad.jsonl"), "line 2: it is not JSON"),
    (("score", *TOY, "--texts", "key.jsonl"), "there is no key 'txt'; did you mean 'text'?"),
    (("score", *TOY, "--texts", "empty.jsonl"), "--texts: empty.jsonl has no text"),
    (("sweep", *TOY, "--prompt", "a", "--answers", "empty.jsonl"), "--answers: empty.jsonl has no text"),
    (("score", *TOY, "a", "--plot", "p.pdf"), "ends in .png or .svg"),
    (("sweep", *TOY, "--prompt", "a"), "which answers?"),
    (("sweep", *TOY, "--answer", "a"), "what do the answers follow?"),
    ((*SWEEP, "--temperatures", "1:0:1"), "is empty"),
    ((*SWEEP, "--temperatures", "warm"), "is FIRST:LAST:STEP"),
    ((*SWEEP, "--temperatures", ""), "is FIRST:LAST:STEP"),
    ((*SWEEP, "--temperatures", "0:1:1e-9"), "at most 10,000"),
    ((*SWEEP, "--temperatures=-1,1"), "a temperature is a number from 0"),
    ((*SWEEP, "--answer", "mat"), "two have the same tokens"),
    ((*SWEEP, "--answer", ""), "candidate 2 is empty"),
    ((*SWEEP, "--near", "-1"), "--near is a number"),
]


def test_wrong_calls(one_after_another: Calls, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('"a b"\nno\n')
    (tmp_path / "empty.jsonl").write_text("\n \n")
    (tmp_path / "key.jsonl").write_text('{"txt": "a"}\n')
    answers = one_after_another([call for call, _ in WRONG])
    for (call, message), (code, out, err) in zip(WRONG, answers, strict=True):
        assert code == 2 and out == "" and message in err, (call, err)
