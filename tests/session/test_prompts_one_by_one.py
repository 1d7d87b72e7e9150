"""Prompts from an iterator are read when there is room, and what was handed out is forgotten. Progress is told."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from itertools import count, islice, pairwise
from typing import Any

import pytest

import decodekit
from decodekit import AdapterError, AsyncSession, ParameterError, Progress, Result, Session
from decodekit.session.roster import Entrant, Outcome
from decodekit.session.sequence import RunSequence
from decodekit.trace.codec import encode_step
from tests.session.conftest import Around, V, chain, plain, table

CONCURRENCY = 4
HOT = chain(("temperature", {"temperature": 0.9}))


def prompts(read: list[int] | None = None) -> Iterator[list[int]]:
    for i in count():
        if read is not None:
            read.append(i)
        yield [i % V, i // V % V]


def narrow() -> Around:
    return Around(table(), plain, concurrency=CONCURRENCY)


def essence(result: Result) -> tuple[object, ...]:
    steps = [encode_step(step) for step in result.trace.steps]
    return result.stream, result.token_ids, result.text, result.finish_reason, result.trace.header, steps


def test_an_iterator_gives_what_its_list_gives() -> None:
    session = Session(narrow(), HOT, seed=3)
    given = list(islice(prompts(), 11))
    many = session.as_completed(given, n=2, max_tokens=5)
    one_by_one = session.as_completed(iter(given), n=2, max_tokens=5)
    assert [essence(result) for result in one_by_one] == [essence(result) for result in many]


def test_no_more_is_read_than_there_is_room_for_and_nothing_stays() -> None:
    """Of an endless iterator; the objects of a run are counted."""
    kinds = (RunSequence, Outcome, Entrant)

    def alive() -> int:
        return sum(type(each) in kinds for each in gc.get_objects())

    gc.collect()
    before = alive()  # what other tests left
    read: list[int] = []
    session = Session(narrow(), HOT, seed=3)
    most = 0
    with closing(session.as_completed(prompts(read), max_tokens=2, guesser="prompt_lookup")) as results:
        for taken, result in enumerate(results, 1):
            assert len(read) <= taken + CONCURRENCY and decodekit.verify(result.trace).word == "proved"
            if taken % 20 == 0:
                most = max(most, alive() - before)
            if taken == 100:
                break
    assert most <= 4 * CONCURRENCY


def test_counts_are_forgotten_too() -> None:
    from decodekit.session.blocking import begun
    from decodekit.session.completed import Completed
    from decodekit.session.driving import drive
    from decodekit.session.options import ManyKeywords

    session = Session(narrow(), HOT, seed=3)
    options = session.options_of({"max_tokens": 2}, ManyKeywords)
    run = begun(session.settings_of(options), prompts(), None, options)
    events, completed, taken = drive(run, keep=False), Completed(run), 0
    event: Any = next(events)
    while taken < 60:
        answers = ()
        if isinstance(event, decodekit.Step):
            taken += len(list(completed.take(event)))
        elif hasattr(event, "prefixes"):
            answers = session.adapter.predict(event.prefixes, event.needs)
        else:
            event.run()
        event = events.send(answers)
    assert events.gi_yieldfrom is not None and events.gi_frame is not None
    assert len(events.gi_frame.f_locals["recorder"].counts) <= 2 * CONCURRENCY
    assert len(run.roster.streams()) <= 2 * CONCURRENCY
    events.close()


def test_what_is_no_prompt_ends_alone_and_is_given_among_the_others() -> None:
    given: list[Any] = [[1], [99], "text", [2], [3], 5, [4], [6], [7]]
    results = list(Session(narrow(), HOT, seed=3).as_completed(iter(given), max_tokens=3))
    ends = {result.stream >> 32: (result.finish_reason, str(result.error or "")[:8]) for result in results}
    assert ends == {i: ("error", f"prompt {i}") if i in (1, 2, 5) else ("length", "") for i in range(9)}
    assert {results[0].stream >> 32, results[1].stream >> 32} == {1, 2}  # before the others end
    for result in results:
        assert decodekit.verify(result.trace).word == "proved" or result.error is not None


def test_options_that_no_sequence_can_have_are_refused_at_once() -> None:
    for options in ({"stop": "x"}, {"stop_ids": [V]}, {"n": 0}, {"n": 10**7}, {"progress": 3}):
        with pytest.raises(ParameterError):
            Session(table()).as_completed(prompts(), **options)
    with pytest.raises(ParameterError, match="begins with its prompts"):
        Session(table()).as_completed(prompts(), trace="run.jsonl")
    with pytest.raises(ParameterError, match=r"10000000 sequences.*iterator"):
        Session(table()).as_completed([[1]] * 11, n=10**6)
    for alone in ("one", b"one", {1: 2}, {1, 2}, decodekit.Prefix([1]), 5):
        with pytest.raises(ParameterError, match="for one prompt use generate"):
            Session(table()).as_completed(alone)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="no generation option 'progres'; did you mean 'progress'"):
        Session(table()).generate_many([[1]], progres=print)
    with pytest.raises(TypeError, match="no generation option 'n'"):
        Session(table()).generate([1], n=2)  # type: ignore[call-arg]


def test_a_stream_beyond_64_bits_ends_the_run_with_a_typed_error() -> None:
    with pytest.raises(ParameterError, match="the stream of a sequence"):
        list(Session(table(), seed=1).as_completed(prompts(), stream=2**64 - 3, max_tokens=1))


@pytest.mark.parametrize("kind", [ValueError, AdapterError])
def test_an_iterator_that_raises_ends_the_run_with_that_error(kind: type[Exception]) -> None:
    def broken() -> Iterator[list[int]]:
        yield from islice(prompts(), 6)
        raise kind("the file is gone")

    taken: list[int] = []
    with pytest.raises(kind, match="the file is gone") as caught:
        taken.extend(r.stream >> 32 for r in Session(narrow(), HOT, seed=3).as_completed(broken(), max_tokens=3))
    assert sorted(taken) == [0, 1, 2, 3]
    if kind is AdapterError:
        assert {(r.stream >> 32, r.finish_reason, len(r.token_ids)) for r in caught.value.partial} >= {
            (4, "error", 0),
            (5, "error", 0),
        }


def test_progress_is_told_each_time_sequences_have_ended() -> None:
    told: list[Progress] = []
    given: list[Any] = [[i] for i in range(10)]
    session = Session(narrow(), HOT, seed=3)
    session.generate_many(given, n=2, max_tokens=3, progress=told.append)
    assert [each.done for each in told] == [4, 8, 12, 16, 20] and {each.total for each in told} == {20}
    assert [each.tokens for each in told] == [12, 24, 36, 48, 60] and {each.failed for each in told} == {0}
    assert all(one.seconds <= two.seconds for one, two in pairwise(told))
    told.clear()
    list(session.as_completed(iter([*given, [99]]), max_tokens=2, progress=told.append))
    assert [(each.done, each.total, each.failed) for each in told] == [(4, None, 0), (9, 11, 1), (11, 11, 1)]


def test_progress_that_raises_ends_the_run_and_keeps_what_there_is(tmp_path: Any) -> None:
    def tell(progress: Progress) -> None:
        raise AdapterError(f"enough at {progress.done}")

    path = tmp_path / "run.jsonl"
    with pytest.raises(AdapterError, match="enough at 4") as caught:
        Session(narrow(), HOT, seed=3).generate_many([[i] for i in range(6)], max_tokens=3, progress=tell, trace=path)
    ends = [(result.finish_reason, len(result.token_ids)) for result in caught.value.partial]
    assert ends == [("length", 3)] * 4 + [("error", 0)] * 2
    trace = decodekit.read_trace(path)
    assert decodekit.verify(trace).word == "proved" and len(trace.steps) == 12


def test_tasks_have_all_this_too() -> None:
    async def main() -> tuple[list[Result], list[Progress], list[list[Result]]]:
        told: list[Progress] = []
        session = AsyncSession(narrow(), HOT, seed=3)
        stream: AsyncIterator[Result] = session.as_completed(islice(prompts(), 9), max_tokens=2, progress=told.append)
        results = [result async for result in stream]
        return results, told, await session.generate_many(list(islice(prompts(), 3)), n=2, max_tokens=2)

    results, told, rows = asyncio.run(main())
    expected = Session(narrow(), HOT, seed=3).generate_many(list(islice(prompts(), 9)), max_tokens=2)
    assert sorted((r.stream, r.token_ids) for r in results) == [(r.stream, r.token_ids) for (r,) in expected]
    assert told[-1].done == told[-1].total == 9
    assert [[r.stream & 1 for r in row] for row in rows] == [[0, 1]] * 3
