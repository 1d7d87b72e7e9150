"""An interrupt at any opcode of the writer loses nothing and spoils nothing."""

from __future__ import annotations

from functools import partial
from itertools import count
from pathlib import Path

import pytest

import decodekit
from decodekit import TraceError
from decodekit.testing import NGramAdapter
from decodekit.trace import Resumption, SequenceEnd, lines, writer
from tests.interrupts import count_opcodes, interrupt

from .conftest import TEXT, chain

ADAPTER = NGramAdapter(TEXT)
FILES = [writer.__file__, lines.__file__]


class Recorded:
    """A run that is written as a driver writes it, again and again, each time into a file of its own."""

    def __init__(self, folder: Path) -> None:
        self._paths = (folder / f"{i}.jsonl" for i in count())
        session = decodekit.Session(ADAPTER, chain("truncated"), seed=7)
        self.whole = session.generate("the ", max_tokens=2).trace

    def __call__(self) -> None:
        self.path, self.shown = next(self._paths), []
        into = writer.TraceWriter(self.path, self.whole.header)
        try:
            for at, step in enumerate(self.whole.steps):
                if at:
                    into.resumed(Resumption(at, 0, {"name": "a", "model": "b"}))
                into.write(step)
                self.shown.append(step.token_id)
        finally:
            into.close([SequenceEnd(0, len(self.shown), "cancelled")])


class Streamed(Recorded):
    """The same run by a session."""

    def __call__(self) -> None:
        self.path, self.shown = next(self._paths), []
        session = decodekit.Session(ADAPTER, chain("truncated"), seed=7)
        for step in session.stream("the ", max_tokens=2, trace=self.path):
            self.shown.append(step.token_id)


@pytest.mark.parametrize(("kind", "stride"), [(Recorded, 1), (Streamed, 5)])
def test_nothing_is_lost_and_nothing_spoiled(tmp_path: Path, kind: type[Recorded], stride: int) -> None:
    run = kind(tmp_path)
    total = count_opcodes(run, FILES)
    states = set()
    for at in range(0, total, stride):
        assert interrupt(run, FILES, at)
        if not run.path.exists() or run.path.stat().st_size == 0:  # it had not begun
            assert run.shown == []
            continue
        word, trace = decodekit.verify(run.path).word, decodekit.read_trace(run.path)
        assert word in ("proved", "incomplete"), at
        assert trace.token_ids()[: len(run.shown)] == run.shown, at
        state = (word, len(trace.steps), len(trace.resumed))
        if state not in states:
            states.add(state)
            (result,) = decodekit.resume(run.path, ADAPTER)
            assert list(result.token_ids) == run.whole.token_ids(), at
    assert total > 400
    assert {word for word, *_ in states} == {"proved", "incomplete"}


def test_a_writer_in_doubt_writes_no_more(tmp_path: Path) -> None:
    trace = decodekit.Session(ADAPTER, chain("truncated"), seed=7).generate("the ", max_tokens=2).trace
    assert trace.footer is not None
    first, second = trace.steps
    paths = (tmp_path / f"{i}.jsonl" for i in count())

    def begin() -> writer.TraceWriter:
        return writer.TraceWriter(next(paths), trace.header)

    into = begin()
    total = count_opcodes(lambda: into.write(first), FILES)
    doubtful = 0
    for at in range(total):
        into = begin()
        assert interrupt(partial(into.write, first), FILES, at)
        try:
            into.write(second)
        except TraceError:
            doubtful += 1
            assert into.close(trace.footer.ends) is None
        into.abandon()
        assert decodekit.read_trace(into.path).footer is None
    assert 10 < doubtful < total


def test_the_footer_counts_what_was_written(tmp_path: Path) -> None:
    trace = decodekit.Session(ADAPTER, chain("truncated"), seed=7).generate("the ", max_tokens=2).trace
    assert trace.footer is not None
    with writer.TraceWriter(tmp_path / "run.jsonl", trace.header) as into:
        into.write(trace.steps[0])
        assert into.close(trace.footer.ends) is None  # of two steps
    assert decodekit.verify(tmp_path / "run.jsonl").word == "incomplete"
