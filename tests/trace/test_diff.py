"""Pairs of runs of which the difference is known: what `decodekit.diff` must say of each."""

from __future__ import annotations

import json
from itertools import zip_longest
from pathlib import Path

import pytest

import decodekit

from .diff_pairs import (
    CONFIGURATION,
    DISTRIBUTION,
    LATER,
    NONE,
    SAME,
    TOKENISATION,
    UNIMPORTANT,
    Case,
)

PARTED = [*CONFIGURATION, *TOKENISATION, *DISTRIBUTION, *LATER]


def first_step(a: decodekit.Trace, b: decodekit.Trace) -> int | None:
    """Where the tokens of the first sequences part."""
    pairs = enumerate(zip_longest(a.token_ids(), b.token_ids(b.header.sequences[0][0])))
    return next((at for at, (one, other) in pairs if one != other), None)


@pytest.mark.parametrize("case", PARTED, ids=lambda case: case.name)
def test_the_first_cause_is_named(case: Case, tmp_path: Path) -> None:
    a, b = case.a(tmp_path / "a.jsonl"), case.b(tmp_path / "b.jsonl")
    found = decodekit.diff(a, b)
    assert (found.cause, found.where) == (case.cause, case.where), str(found)
    assert not found.equal
    if case.name not in ("more samples", "prompts in another order", "another tokenizer"):
        assert found.step == first_step(a, b)
    assert case.where.split(".")[-1] in str(found)
    if found.first is not None and found.first.parting is not None:
        at, sides = found.first, (found.first.parting.a, found.first.parting.b)
        for trace, stream, side in zip((a, b), (at.stream_a, at.stream_b), sides, strict=True):
            ids = trace.token_ids(stream)
            assert side.token_id == (ids[found.step] if found.step < len(ids) else None)
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize("case", NONE, ids=lambda case: case.name)
def test_equal_tokens_have_no_cause(case: Case, tmp_path: Path) -> None:
    a, b = case.a(tmp_path / "a.jsonl"), case.b(tmp_path / "b.jsonl")
    assert a.token_ids() == b.token_ids()
    found = decodekit.diff(a, b)
    assert (found.equal, found.cause, found.where, found.step) == (True, "none", "", None)
    assert found.first is None and str(found).startswith("equal tokens")


@pytest.mark.parametrize("field", UNIMPORTANT)
def test_what_differs_and_does_not_matter_is_named(field: str, tmp_path: Path) -> None:
    a, b = SAME(tmp_path / "a.jsonl"), UNIMPORTANT[field](tmp_path / "b.jsonl")
    found = decodekit.diff(a, b)
    assert found.equal and found.cause == "none"
    assert field in [each.field for each in found.fields] and not any(each.mattered for each in found.fields)
    assert field in found.why and "did not matter" in found.why


@pytest.mark.parametrize("case", [*PARTED, *NONE], ids=lambda case: case.name)
def test_a_trace_does_not_differ_from_itself(case: Case, tmp_path: Path) -> None:
    for make in (case.a, case.b):
        trace = make(tmp_path / f"{len(list(tmp_path.iterdir()))}.jsonl")
        found = decodekit.diff(trace, trace)
        assert found.equal and not found.fields
        assert all(each.before.max_drift in (0.0, None) and each.before.first_step is None for each in found.sequences)
