"""Sinks of a call: several at once, those that fail, and what is kept then."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import decodekit
from decodekit import AsyncSession, ParameterError, PluginError, Session, TraceError
from decodekit.testing import NGramAdapter
from tests.session.conftest import TEXT

ADAPTER = NGramAdapter(TEXT)


def session() -> Session:
    return Session(ADAPTER, seed=7)


class Counts:
    """A sink of the simplest kind; it fails where it is told to."""

    def __init__(self, fails_at: int | None = None, closing: str | None = None) -> None:
        self.steps: list[decodekit.Step] = []
        self.ended: list[Any] | None = None
        self.fails_at, self.closing = fails_at, closing

    def open(self, header: Any) -> Counts:
        return self

    def write(self, step: decodekit.Step) -> None:
        if step.index == self.fails_at:
            raise OSError("the queue is gone")
        self.steps.append(step)

    def resumed(self, resumption: Any) -> None: ...

    def close(self, ends: Any) -> None:
        self.ended = list(ends)
        if self.closing:
            raise RuntimeError(self.closing)


def test_several_sinks_get_the_same_run(tmp_path: Path) -> None:
    counts, memory = Counts(), decodekit.sink("memory")
    result = session().generate("the ", max_tokens=5, trace=[tmp_path / "a.jsonl", counts, memory, str(tmp_path / "b")])
    for path in ("a.jsonl", "b"):
        assert decodekit.verify(tmp_path / path).word == "proved"
    assert decodekit.read_trace(tmp_path / "a.jsonl").footer == result.trace.footer
    assert [step.token_id for step in counts.steps] == memory.traces[0].token_ids() == list(result.token_ids)
    assert counts.ended == memory.traces[0].footer.ends == result.trace.footer.ends
    assert memory.traces[0].header == result.trace.header


def test_a_step_is_in_every_sink_before_its_token_is_handed_out(tmp_path: Path) -> None:
    counts, path = Counts(), tmp_path / "run.jsonl"
    for number, _ in enumerate(session().stream("the ", max_tokens=4, trace=[path, counts]), 1):
        assert len(counts.steps) == number
        assert len(path.read_bytes().splitlines()) == 1 + number


def test_a_memory_keeps_what_a_stream_forgets_and_only_the_last_traces() -> None:
    memory = decodekit.sink("memory", memory=2)
    for tokens in (1, 2, 3):
        assert len(list(session().stream("the ", max_tokens=tokens, trace=memory))) == tokens
    assert [len(trace.steps) for trace in memory.traces] == [2, 3]
    assert [decodekit.verify(trace).word for trace in memory.traces] == ["proved"] * 2


@pytest.mark.parametrize("order", [1, -1])
def test_a_sink_that_fails_ends_the_run_with_everything_kept(tmp_path: Path, order: int) -> None:
    bad, good, path = Counts(fails_at=3), Counts(), tmp_path / "run.jsonl"
    with pytest.raises(PluginError, match="'Counts', step 3: the sink raised OSError: the queue is gone") as caught:
        session().generate("the ", max_tokens=9, trace=[path, bad, good][::order])
    partial = caught.value.partial
    assert isinstance(partial, decodekit.Result)
    assert len(partial.token_ids) == len(bad.steps) == 3
    trace = decodekit.read_trace(path)  # it has a footer: the step that was refused is not in it
    assert trace.token_ids() == list(partial.token_ids)
    assert decodekit.verify(path).word == "proved"
    assert bad.ended == good.ended == trace.footer.ends  # type: ignore[union-attr]
    whole = session().generate("the ", max_tokens=9)
    [again] = decodekit.resume(path, ADAPTER, trace=good)
    assert again.token_ids == whole.token_ids


def test_a_failing_end_keeps_the_text_and_the_other_sinks(tmp_path: Path) -> None:
    bad, good, path = Counts(closing="no room"), Counts(), tmp_path / "run.jsonl"
    with pytest.raises(PluginError, match="RuntimeError: no room") as caught:
        session().generate("the ", max_tokens=4, trace=[bad, path, good])
    assert len(caught.value.partial.token_ids) == 4
    assert good.ended is not None
    assert decodekit.verify(path).word == "proved"
    with pytest.raises(PluginError, match="OSError"):  # the first error is the one that is told
        session().generate("the ", max_tokens=4, trace=Counts(fails_at=1, closing="no room"))


def test_nothing_is_left_of_a_run_whose_second_sink_cannot_be_opened(tmp_path: Path) -> None:
    memory = decodekit.sink("memory")
    with pytest.raises(TraceError, match="no folder"):
        session().generate("the ", trace=[tmp_path / "a.jsonl", memory, tmp_path / "nowhere" / "b.jsonl"])
    assert list(tmp_path.iterdir()) == []
    assert not memory.traces


def test_a_call_that_is_left_early_closes_its_sinks() -> None:
    counts = Counts()
    steps = session().stream("the ", max_tokens=9, trace=counts)
    next(steps)
    steps.close()
    assert counts.ended is not None
    assert [(end.tokens, end.finish_reason) for end in counts.ended] == [(1, "cancelled")]


@pytest.mark.parametrize("first", [True, False])
def test_an_interrupt_while_one_sink_closes_leaves_no_other_open(tmp_path: Path, first: bool) -> None:
    class Interrupted(Counts):
        def close(self, ends: Any) -> None:
            raise KeyboardInterrupt

    sinks = [tmp_path / "a.jsonl", tmp_path / "b.parquet", Counts(closing="the queue is gone")]
    sinks.insert(0 if first else 3, Interrupted())
    with pytest.raises(KeyboardInterrupt):
        session().generate("the ", max_tokens=3, trace=sinks)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "b.parquet"]
    assert decodekit.verify(tmp_path / "a.jsonl").word == "proved"


def test_an_empty_path_is_refused() -> None:
    with pytest.raises(ParameterError, match="this one is empty"):
        session().generate("the ", max_tokens=3, trace="")


def test_many_tasks_share_a_sink() -> None:
    memory = decodekit.sink("memory")

    async def all_of_them() -> list[Any]:
        async with AsyncSession(ADAPTER, seed=7) as shared:
            calls = (shared.generate("the ", stream=stream, max_tokens=6, trace=memory) for stream in range(5))
            return await asyncio.gather(*calls)

    results = asyncio.run(all_of_them())
    assert sorted(trace.token_ids(trace.header.sequences[0][0]) for trace in memory.traces) == sorted(
        list(result.token_ids) for result in results
    )


@pytest.mark.parametrize("target", [True, 7, [7], Counts, b"run.jsonl", {"a": 1}])
def test_what_is_no_sink_is_refused_before_anything_is_asked(target: Any) -> None:
    with pytest.raises(ParameterError, match="the path of a file, a sink"):
        session().generate("the ", trace=target)


def test_no_sink_at_all_is_allowed_and_level_none_has_nothing_for_one() -> None:
    assert session().generate("the ", max_tokens=1, trace=[]).token_ids
    with pytest.raises(ParameterError, match="records nothing"):
        session().generate("the ", level="none", trace=[Counts()])
