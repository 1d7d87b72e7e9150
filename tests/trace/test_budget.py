"""A trace file with a limit: no token is lost, and what was left out is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import decodekit
from decodekit.testing import NGramAdapter

from .conftest import TEXT, chain


def run(path: Path, limit: int | None, level: Any = "proof", tokens: int = 40) -> decodekit.Result:
    session = decodekit.Session(NGramAdapter(TEXT), chain("truncated"), seed=7, top_logprobs=40)
    return session.generate(
        "the ", max_tokens=tokens, level=level, trace=decodekit.sink("jsonl", jsonl=path, max_bytes=limit)
    )


@pytest.mark.parametrize("level", ["choice", "proof", "full"])
def test_steps_are_shortened_and_every_token_is_there(tmp_path: Path, level: str) -> None:
    whole = run(tmp_path / "whole.jsonl", None, level)
    size = (tmp_path / "whole.jsonl").stat().st_size
    for share in (1.1, 0.8, 0.6):
        path, limit = tmp_path / f"{share}.jsonl", int(size * share)
        result = run(path, limit, level)
        assert result.token_ids == whole.token_ids
        assert path.stat().st_size <= limit
        trace = decodekit.read_trace(path)
        assert trace.token_ids() == list(whole.token_ids) and trace.footer is not None
        short = [not step.raw.top for step in trace.steps]
        assert sum(short) == trace.footer.shortened and (share > 1) == (not any(short))
        for step, kept in zip(trace.steps, whole.trace.steps, strict=True):
            assert (step.choice, step.draw, step.text) == (kept.choice, kept.draw, kept.text)
        verdict = decodekit.verify(path)
        if level != "choice" and share < 1:
            assert (verdict.word, verdict.step) == ("consistent", short.index(True))
            assert verdict.counts == {"proved": 40 - sum(short), "consistent": sum(short)}
            assert decodekit.verify(path, chain=True).word == "consistent"
        assert decodekit.Trace.from_bytes(trace.to_bytes()).footer == trace.footer
    [again] = decodekit.resume(path, NGramAdapter(TEXT), trace=tmp_path / "again.jsonl", max_tokens=45)
    assert again.token_ids[:40] == whole.token_ids


def test_without_a_limit_or_with_a_wide_one_the_bytes_are_the_same(tmp_path: Path) -> None:
    run(tmp_path / "a.jsonl", None)
    run(tmp_path / "b.jsonl", 10**9)
    a, b = (decodekit.read_trace(tmp_path / name).footer for name in ("a.jsonl", "b.jsonl"))
    assert a == b and a is not None and a.shortened == 0
    assert b"shortened" not in (tmp_path / "b.jsonl").read_bytes()


def test_a_run_for_which_there_is_no_room_ends_as_on_a_full_disk(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with pytest.raises(
        decodekit.TraceError, match=r"reached its max_bytes=12000 after \d+ steps; give it more"
    ) as caught:
        run(path, 12_000)
    trace = decodekit.read_trace(path)
    assert path.stat().st_size <= 12_000 and len(trace.steps) > 4
    assert trace.footer is not None and trace.footer.ends[0].finish_reason == "error"
    assert trace.footer.shortened == len(trace.steps)
    assert trace.token_ids() == list(caught.value.partial.token_ids)[: len(trace.steps)]
    assert decodekit.verify(path).word == "consistent"


def test_a_limit_below_the_header_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(decodekit.TraceError, match="max_bytes=300 is not enough for the header"):
        run(tmp_path / "run.jsonl", 300)
    assert not list(tmp_path.iterdir())
    for value in (0, -1, 1.5, "1k", True):
        with pytest.raises(decodekit.ParameterError, match="max_bytes"):
            run(tmp_path / "run.jsonl", value)  # type: ignore[arg-type]
