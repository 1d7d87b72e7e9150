"""A step is recorded and handed out while the model computes the next one, and nothing else changes by it."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest

import decodekit
from decodekit import AsyncSession, Chain, Distribution, Session, processor
from decodekit.model import asking, rounds
from decodekit.session import blocking, decoder, driving, recording, run, sequence
from decodekit.testing import NGramAdapter
from tests.interrupts import LOOKS, count_opcodes, interrupt
from tests.session.conftest import TEXT, Around, table

LONG = 0.0025  # seconds: a call as long as one that is worth it
CHAIN = Chain([processor("top_k", top_k=20), processor("temperature", temperature=0.9)])


class Overlapping(Around):
    """An adapter whose calls take long, and which says that a core is free meanwhile."""

    overlaps = True

    def __init__(self, inner: Any = None, act: Any = lambda inner, prefixes, needs: inner.predict(prefixes, needs)):
        super().__init__(inner or NGramAdapter(TEXT), act)
        self.threads: list[str] = []
        self.inside = 0

    def predict(self, prefixes: Any, disclose: Any = decodekit.CHEAP) -> Any:
        self.inside += 1
        self.threads.append(threading.current_thread().name)
        try:
            time.sleep(LONG)
            return super().predict(prefixes, disclose)
        finally:
            self.inside -= 1


def content(path: Path) -> list[Any]:
    trace = decodekit.read_trace(path)
    assert decodekit.verify(path).word in ("proved", "consistent")
    return [(step.index, step.stream, step.token_id, step.text, step.choice, step.entries) for step in trace.steps]


@pytest.mark.parametrize(
    "options",
    [{}, {"stop": ["sat"]}, {"level": "choice"}, {"level": "full"}, {"deadline": 60.0}, {"ban": ["cat"]},
     {"until": lambda step: step.index == 5}],
    ids=lambda options: next(iter(options), "nothing"),
)  # fmt: skip
def test_the_trace_is_the_same(tmp_path: Path, options: dict[str, Any]) -> None:
    adapter, paths = Overlapping(), [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    found = [
        Session(each, CHAIN, seed=3).generate_many(["the ", "a "], n=2, max_tokens=9, trace=path, **options)
        for each, path in zip((adapter, adapter.inner), paths, strict=True)
    ]
    assert [[each.text for each in group] for group in found[0]] == [
        [each.text for each in group] for group in found[1]
    ]
    assert content(paths[0]) == content(paths[1])
    aside = {name for name in adapter.threads if name.startswith("decodekit-predict")}
    assert bool(aside) is ("ban" not in options and "until" not in options)


def test_a_step_is_recorded_and_handed_out_while_the_next_one_is_computed(tmp_path: Path) -> None:
    path, handed = tmp_path / "t.jsonl", threading.Semaphore(0)
    waited: list[bool] = []

    def act(inner: Any, prefixes: Any, needs: Any) -> Any:
        if len(adapter.asked) > 2:  # the second token on: the first calls only show that they take long
            waited.append(handed.acquire(timeout=20))
        return inner.predict(prefixes, needs)

    adapter = Overlapping(act=act)
    for step in Session(adapter, CHAIN, seed=3).stream("the ", max_tokens=6, trace=path):
        assert f'"step":{step.index},' in path.read_text().splitlines()[-1].replace(" ", "")
        if step.index > 0:
            handed.release()
    assert waited == [True] * 4


def test_a_deadline_ends_a_call_that_waits_for_others_ahead() -> None:
    inside, leave = threading.Event(), threading.Event()

    def act(inner: Any, prefixes: Any, needs: Any) -> Any:
        if any(9 in prefix.token_ids for prefix in prefixes):
            inside.set()
            leave.wait(20)
        return inner.predict(prefixes, needs)

    adapter = Overlapping(table(), act)
    steps = Session(adapter, CHAIN, seed=3).stream(decodekit.Prefix([1]), max_tokens=50, deadline=0.3)
    next(steps)
    other = threading.Thread(target=lambda: Session(adapter, CHAIN, seed=3).generate([9], max_tokens=1))
    other.start()
    assert inside.wait(20)
    reason = ""
    try:
        while True:
            next(steps)
    except StopIteration as end:
        reason = end.value.finish_reason
    leave.set()
    other.join()
    assert reason == "deadline"


def test_a_stream_that_is_left_has_no_call_when_its_session_is_closed() -> None:
    adapter = Overlapping()
    session = Session(adapter, CHAIN, seed=3)
    for at in range(1, 5):
        steps = session.stream("the ", max_tokens=50)
        for _ in range(at):
            next(steps)
        steps.close()
        assert asking.rounds_of(adapter).waiting == 0
        session.close()
        assert adapter.inside == 0
    assert (
        session.generate("the ", max_tokens=6).text
        == Session(adapter.inner, CHAIN, seed=3).generate("the ", max_tokens=6).text
    )


def test_a_step_that_cannot_be_made_ends_its_sequence_alone() -> None:
    def revive(dist: Distribution, ctx: Any) -> Distribution:
        if len(ctx.output_ids) == 2 and ctx.prompt_ids[0] == 7:
            return Distribution.dense(np.zeros(dist.vocab_size))  # gives probability to tokens that have none
        return dist

    def act(inner: Any, prefixes: Any, needs: Any) -> Any:
        rows = [each.scores.copy() for each in inner.predict(prefixes, needs)]
        for row in rows:
            row[::3] = -np.inf
        return [Distribution.dense(row) for row in rows]

    prompts = [decodekit.Prefix([5]), decodekit.Prefix([7])]
    found = []
    for adapter in (Overlapping(table(), act), Around(table(), act)):
        results = Session(adapter, Chain([revive]), seed=4).generate_many(prompts, max_tokens=6)
        found.append([(each[0].token_ids, each[0].finish_reason, str(each[0].error)) for each in results])
    assert found[0] == found[1]
    assert [reason for _, reason, _ in found[0]] == ["length", "error"]
    assert len(found[0][1][0]) == 2
    assert "probability" in found[0][1][2]


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_an_error_of_the_call_comes_after_the_step_before_it(tmp_path: Path, at: int) -> None:
    def act(inner: Any, prefixes: Any, needs: Any) -> Any:
        if len(adapter.asked) > at:
            raise OSError("gone")
        return inner.predict(prefixes, needs)

    adapter, path = Overlapping(act=act), tmp_path / "t.jsonl"
    with pytest.raises(decodekit.AdapterError, match="gone") as caught:
        Session(adapter, CHAIN, seed=3).generate("the ", max_tokens=9, trace=path)
    assert len(caught.value.partial.token_ids) == at == len(decodekit.read_trace(path).steps)


def test_other_threads_join_the_rounds(tmp_path: Path) -> None:
    adapter = Overlapping()
    alone = [Session(adapter.inner, CHAIN, seed=each).generate("the ", max_tokens=12).text for each in range(4)]
    found: dict[int, str] = {}

    def call(each: int) -> None:
        found[each] = Session(adapter, CHAIN, seed=each).generate("the ", max_tokens=12).text

    callers = [threading.Thread(target=call, args=(each,)) for each in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert [found[each] for each in range(4)] == alone
    assert max(len(prefixes) for prefixes, _ in adapter.asked) > 1


def test_no_thread_outlives_the_adapter() -> None:
    before = set(threading.enumerate())
    adapters = [Overlapping() for _ in range(5)]
    for adapter in adapters:
        Session(adapter, CHAIN, seed=3).generate("the ", max_tokens=4)
    threads = set(threading.enumerate()) - before
    assert len(threads) == 5
    del adapter, adapters
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_a_task_gets_a_step_while_the_next_one_is_computed(loop: str, tmp_path: Path) -> None:
    path, handed = tmp_path / "t.jsonl", threading.Semaphore(0)
    waited: list[bool] = []

    def act(inner: Any, prefixes: Any, needs: Any) -> Any:
        if len(adapter.asked) > 2:
            waited.append(handed.acquire(timeout=20))
        return inner.predict(prefixes, needs)

    adapter = Overlapping(act=act)

    async def main() -> None:
        async with AsyncSession(adapter, CHAIN, seed=3).stream("the ", max_tokens=6, trace=path) as steps:
            async for step in steps:
                assert f'"step":{step.index},' in path.read_text().splitlines()[-1]
                if step.index > 0:
                    handed.release()

    anyio.run(main, backend=loop)
    assert waited == [True] * 4


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_tasks_that_overlap_record_what_each_records_alone(loop: str, tmp_path: Path) -> None:
    adapter = Overlapping()

    async def call(each: int) -> None:
        session = AsyncSession(adapter, CHAIN, seed=each)
        await session.generate("the ", max_tokens=10, trace=tmp_path / f"{each}.jsonl")

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for each in range(3):
                group.start_soon(call, each)

    anyio.run(main, backend=loop)
    for each in range(3):
        alone = tmp_path / f"alone-{each}.jsonl"
        Session(adapter.inner, CHAIN, seed=each).generate("the ", max_tokens=10, trace=alone)
        assert content(tmp_path / f"{each}.jsonl") == content(alone)


def test_a_cancelled_task_gives_its_question_up() -> None:
    adapter = Overlapping()
    session = AsyncSession(adapter, CHAIN, seed=3)

    async def main() -> None:
        for at in range(1, 6):
            task = asyncio.ensure_future(collected(at))
            await asyncio.wait([task])
            assert asking.rounds_of(adapter).waiting == 0

    async def collected(at: int) -> None:
        seen = 0
        async with session.stream("the ", max_tokens=50) as steps:
            async for _ in steps:
                seen += 1
                if seen == at:
                    asyncio.current_task().cancel()  # type: ignore[union-attr]

    asyncio.run(main())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_fork_does_not_wait_for_the_thread_of_its_parent() -> None:
    steps = Session(Overlapping(), CHAIN, seed=3).stream("the ", max_tokens=9)
    for _ in range(3):
        next(steps)
    child = os.fork()
    if child == 0:
        try:
            for _ in steps:
                pass
        except decodekit.AdapterError as error:
            os._exit(0 if "fork" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(list(steps)) == 6


FILES = {module.__file__ for module in (asking, blocking, decoder, driving, recording, rounds, run, sequence)}


@pytest.mark.parametrize("stride", [11, pytest.param(1, marks=pytest.mark.slow)])
def test_an_interrupt_anywhere_loses_nothing(tmp_path: Path, stride: int) -> None:
    adapter, paths = Overlapping(), (tmp_path / f"{at}.jsonl" for at in count())
    session = Session(adapter, CHAIN, seed=7)
    expected = session.generate("the ", max_tokens=4).token_ids
    shown: list[int] = []

    def streamed(path: Path) -> None:
        shown.clear()
        for step in session.stream("the ", max_tokens=4, trace=path):
            shown.append(step.token_id)  # noqa: PERF401 - one by one: an interrupt comes in between

    total = count_opcodes(lambda: streamed(next(paths)), FILES, LOOKS)
    for at in range(0, total, stride):
        path = next(paths)
        interrupt(lambda path=path: streamed(path), FILES, at, LOOKS)
        while adapter.inside:  # a second interrupt may leave early; the call ends by itself
            time.sleep(0.001)
        if path.exists() and path.stat().st_size:
            recorded = decodekit.read_trace(path).token_ids() if decodekit.read_trace(path).steps else []
            assert recorded[: len(shown)] == shown and tuple(recorded) == expected[: len(recorded)], at
        assert session.generate("the ", max_tokens=4).token_ids == expected, at
    assert total > 100


@pytest.mark.parametrize("kind", ["threads", "tasks"])
def test_callers_leave_at_their_deadline_while_the_model_hangs_in_a_call_of_another(kind: str) -> None:
    hangs, entered, opened = threading.Event(), threading.Event(), threading.Event()

    def act(inner: Any, prefixes: Any, needs: Any) -> Any:
        if hangs.is_set() and any(prefix.token_ids[0] == ord("t") and len(prefix) > 8 for prefix in prefixes):
            entered.set()
            assert opened.wait(60)
        return inner.predict(prefixes, needs)

    adapter, ends = Overlapping(act=act), list[str | None]()
    session, calls = Session(adapter, CHAIN, seed=3), {"max_tokens": 10_000, "deadline": 1.0}
    first = threading.Thread(target=session.generate, args=("the ",), kwargs={"max_tokens": 200})

    def hang() -> None:
        hangs.set()
        first.start()
        assert entered.wait(60)

    def in_a_thread(prompt: str, begun: threading.Barrier) -> None:
        steps = session.stream(prompt, **calls)  # type: ignore[arg-type]
        for _ in range(3):
            next(steps)
        begun.wait()
        begun.wait()  # the model hangs now
        while True:
            try:
                next(steps)
            except StopIteration as end:
                ends.append(end.value.finish_reason)
                return

    async def in_a_task(prompt: str, begun: list[int], hung: asyncio.Event) -> None:
        limit = {**calls, "deadline": None if prompt == "a " else 1.0}  # the first one has none, and is asked first
        steps = AsyncSession(adapter, CHAIN, seed=3).stream(prompt, **limit)  # type: ignore[arg-type]
        for _ in range(3):
            await anext(steps)
        begun.append(1)
        await hung.wait()
        async for _ in steps:
            pass
        ends.append(steps.result.finish_reason)

    async def main() -> None:
        begun, hung = list[int](), asyncio.Event()
        tasks = [asyncio.create_task(in_a_task(prompt, begun, hung)) for prompt in ("a ", "cat ", "sat ")]
        while len(begun) < 3:
            await asyncio.sleep(0.001)
        await asyncio.to_thread(hang)
        hung.set()
        await asyncio.wait(tasks[1:], timeout=20)
        ends.append("deadline" if len(ends) == 2 else None)
        tasks[0].cancel()
        opened.set()
        await asyncio.gather(*tasks, return_exceptions=True)

    if kind == "tasks":
        asyncio.run(main())
    else:
        barrier = threading.Barrier(4)
        started = [threading.Thread(target=in_a_thread, args=(prompt, barrier), daemon=True) for prompt in "acs"]
        for thread in started:
            thread.start()
        barrier.wait()
        hang()
        barrier.wait()
        for thread in started:
            thread.join(20)
    late = list(ends)
    opened.set()
    first.join(60)
    assert late == ["deadline"] * 3
