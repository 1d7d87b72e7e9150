"""An interrupt at any opcode of a run and its driver loses nothing that was handed out, and spoils no trace."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

import decodekit
from decodekit import Chain, Session
from decodekit.session import bans, blocking, decoder, driving, recording, run, sequence, session
from decodekit.testing import NGramAdapter
from tests.interrupts import count_opcodes, interrupt
from tests.session.conftest import TEXT

ADAPTER = NGramAdapter(TEXT)
FILES = {module.__file__ for module in (bans, blocking, decoder, driving, recording, run, sequence, session)}
CALLS: dict[str, Callable[..., object]] = {
    "one": lambda trace: Session(ADAPTER, seed=7).generate("the ", max_tokens=2, trace=trace),
    "two sequences": lambda trace: Session(ADAPTER, seed=7).generate_many(["the "], n=2, max_tokens=2, trace=trace),
    "a ban": lambda trace: Session(ADAPTER, seed=7).generate("the ", max_tokens=3, trace=trace, ban=["cat", "dog"]),
}


EVERY_OPCODE = [pytest.param(call, 1, marks=pytest.mark.slow) for call in CALLS]


@pytest.mark.parametrize(("call", "stride"), [("one", 5), ("two sequences", 13), ("a ban", 19), *EVERY_OPCODE])
def test_an_interrupt_anywhere_leaves_a_trace_that_can_be_resumed(tmp_path: Path, call: str, stride: int) -> None:
    paths = (tmp_path / f"{at}.jsonl" for at in count())
    whole = tmp_path / "whole.jsonl"
    CALLS[call](whole)
    expected = decodekit.read_trace(whole)
    states = set()
    total = count_opcodes(lambda: CALLS[call](next(paths)), FILES)
    for at in range(0, total, stride):
        path = next(paths)
        if not interrupt(lambda path=path: CALLS[call](path), FILES, at):
            continue
        if not path.exists() or not path.stat().st_size:
            continue  # it had not begun
        verdict, trace = decodekit.verify(path), decodekit.read_trace(path)
        assert verdict.word in ("proved", "incomplete"), (at, verdict)
        state = (verdict.word, tuple(step.token_id for step in trace.steps))
        if state not in states:
            states.add(state)
            for result in decodekit.resume(path, ADAPTER):
                assert list(result.token_ids) == expected.token_ids(result.stream), at
    assert total > 1000 and len(states) > 3


def test_what_was_handed_out_before_an_interrupt_is_in_the_trace(tmp_path: Path) -> None:
    paths = (tmp_path / f"{at}.jsonl" for at in count())
    shown: list[int] = []

    def streamed(path: Path) -> None:
        shown.clear()
        for step in Session(ADAPTER, Chain(), seed=7).stream("the ", max_tokens=3, trace=path):
            shown.append(step.token_id)  # noqa: PERF401 - one by one: an interrupt comes in between

    for at in range(0, count_opcodes(lambda: streamed(next(paths)), FILES), 7):
        path = next(paths)
        interrupt(lambda path=path: streamed(path), FILES, at)
        if shown:
            assert decodekit.read_trace(path).token_ids()[: len(shown)] == shown, at
