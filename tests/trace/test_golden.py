"""Traces that were written before the core was rebuilt: they read, verify, replay and resume as they did then."""

from __future__ import annotations

import base64
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import decodekit
from tests.trace.forging import dump, load
from tests.trace.golden_runs import ADAPTERS, RUNS, Golden, verdicts

GOLDEN = Path(__file__).parent / "golden"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())
VERSION = "0.1.0"  # of the chains in the files

golden = pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)


# What a live replay finds now of runs whose ids it did not ask for again at that time.
ASKED_AGAIN = {
    "tail": {"equal": 12, "unknown": 0, "explained": True},
    "biased": {"equal": 8, "unknown": 0, "explained": True},
}


def readable(name: str, folder: Path) -> Path:
    """The trace, with the chain's version made today's, since a chain of another version is not run."""
    path = GOLDEN / f"{name}.jsonl"
    if version("decodekit") == VERSION:
        return path
    lines = load(path)
    for part in (*lines[0]["content"]["chain"]["processors"], lines[0]["content"]["chain"]["sampler"]):
        part["version"] = version("decodekit")
    return dump(lines, folder / path.name, path.read_bytes().rpartition(b"\n")[2])


@golden
def test_it_verifies_and_replays_as_it_did(run: Golden, tmp_path: Path) -> None:
    expected = {name: value for name, value in EXPECTED[run.name].items() if name != "tokens"}
    found = verdicts(readable(run.name, tmp_path), ADAPTERS[run.adapter])
    if run.name in ASKED_AGAIN:
        assert expected.pop("live") is None
        assert found.pop("live") == ASKED_AGAIN[run.name]
    assert found == expected


@golden
def test_it_goes_on_to_the_same_tokens(run: Golden, tmp_path: Path) -> None:
    results = decodekit.resume(readable(run.name, tmp_path), ADAPTERS[run.adapter], trace=tmp_path / "again")
    assert [list(result.token_ids) for result in results] == EXPECTED[run.name]["tokens"]
    again = decodekit.read_trace(tmp_path / "again")
    assert again.footer is not None
    assert [again.token_ids(end.stream) for end in again.footer.ends] == EXPECTED[run.name]["tokens"]


@golden
def test_the_same_call_records_the_same(run: Golden, tmp_path: Path) -> None:
    """Every name, its place, every id and every word; floats to 1e-12, since the exponential differs by machine."""
    run.write(tmp_path / "new.jsonl")
    for old, new in zip(load(GOLDEN / f"{run.name}.jsonl"), load(tmp_path / "new.jsonl"), strict=True):
        assert list(old) == list(new)
        assert old["kind"] == new["kind"]
        if old["kind"] == "header":
            same(*comparable(old["content"], new["content"]), "header")
        if old["kind"] == "step":
            same(old["content"], new["content"], f"step {old['content']['step']}")
        if old["kind"] == "footer":
            assert old["content"]["ends"] == new["content"]["ends"]


def comparable(old: dict[str, Any], new: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two headers without their versions; a plugin may have got more parameters since, with defaults."""
    parts = zip(*([*each["chain"]["processors"], each["chain"]["sampler"]] for each in (old, new)), strict=True)
    for before, after in parts:
        after["version"] = before["version"]
        after["params"] = {name: after["params"][name] for name in before["params"]}
    new["versions"] = old["versions"]
    return old, new


def same(old: Any, new: Any, where: str) -> None:
    assert type(old) is type(new), where
    if isinstance(old, dict):
        assert list(old) == list(new), where  # the order counts: contents are hashed
        if "dtype" in old:
            rows = [np.frombuffer(base64.b64decode(data["scores"]), data["dtype"]) for data in (old, new)]
            np.testing.assert_allclose(*rows, rtol=1e-12, atol=1e-12)
            return
        for name in old:
            same(old[name], new[name], f"{where}.{name}")
    elif isinstance(old, list):
        assert len(old) == len(new), where
        for i, pair in enumerate(zip(old, new, strict=True)):
            same(*pair, f"{where}[{i}]")
    elif isinstance(old, float):
        assert old == pytest.approx(new, rel=1e-12, abs=1e-12), where
    else:
        assert old == new, where


def test_the_files_are_all_there() -> None:
    assert {path.stem for path in GOLDEN.glob("*.jsonl")} == {run.name for run in RUNS} == set(EXPECTED)


def test_a_formula_that_was_wrong_is_not_kept_for_old_traces(tmp_path: Path) -> None:
    """`quadratic` keeps the largest score now; the final scores that it recorded before do not follow."""
    path = readable("changed/quadratic", tmp_path)
    assert decodekit.verify(path).word == "proved"
    verdict = decodekit.verify(path, chain=True)
    assert (verdict.word, verdict.step) == ("failed", 0)
    assert "the processors give other final scores than recorded" in verdict.why
