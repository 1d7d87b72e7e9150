"""Sessions in threads and tasks over one faulty adapter: joins, leaves, cancels, faults, in any order.

Whatever the others do, a call gets the steps that it gets alone: none lost, none twice, and the same end.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import decodekit
from decodekit import AdapterError, AsyncSession, Chain, DecodekitError, Prefix, Session, processor
from decodekit.model.asking import rounds_of
from decodekit.testing import TableAdapter
from tests.session.conftest import Around, V, table, wide

CHAINS = [
    Chain(),
    Chain([processor("top_k", top_k=5)]),
    Chain(
        [processor("temperature", temperature=1.4), processor("repetition_penalty", repetition_penalty=1.2)],
        "inverse_cdf",
    ),
]
RAISES, NAN = 0, 4  # what is wrong with a prompt that begins so; others are well
LENGTH = 8
WAIT = 60  # seconds; nothing here takes as long


def faulty(concurrency: int = 16) -> Around:
    """An adapter that fails for the third token of some prompts, and in other ways for batches, when it is told to."""

    def row(ids: Sequence[int]) -> np.ndarray:
        return np.full(V, np.nan) if ids[0] == NAN and len(ids) == 3 else wide(ids)

    def act(inner: Any, prefixes: list[Prefix], wanted: list[Any]) -> Any:
        fault, adapter.fault = adapter.fault, ""
        if len(prefixes) > 1 and fault == "raise":
            raise OSError("the whole batch")
        answers = inner.predict(prefixes, wanted)
        if len(prefixes) > 1 and fault == "fewer":
            return answers[:-1]
        for place, prefix in enumerate(prefixes):
            if len(prefix) == 3:
                match prefix.token_ids[0]:
                    case 0:
                        raise RuntimeError("this prompt")
                    case 1:
                        answers[place] = AdapterError("this prompt")
                    case 2:
                        return answers[1:]
                    case 3:
                        answers[place] = "this prompt"
        return answers

    adapter: Any = Around(TableAdapter(row, V), act, concurrency=concurrency)
    adapter.fault = ""
    return adapter  # type: ignore[no-any-return]


def end_of(error: BaseException | None) -> tuple[object, ...]:
    return (type(error), str(error).partition(":")[0]) if error is not None else (None, "")


class Call:
    """One call: its steps so far, and what it gives alone."""

    def __init__(self, prompt: int, chain: int, stream: int) -> None:
        self.options: dict[str, Any] = {"max_tokens": LENGTH, "seed": 3, "stream": stream, "chain": CHAINS[chain]}
        self.prompt = [prompt]
        self.tokens: list[int] = []
        self.ended = False
        self.error: BaseException | None = None
        self.expected: list[int] = []
        self.failure: BaseException | None = None
        try:
            for step in Session(faulty()).stream(self.prompt, **self.options):
                self.expected.append(step.token_id)
        except DecodekitError as error:
            self.failure = error

    def check(self) -> None:
        assert self.tokens == self.expected[: len(self.tokens)]
        if self.ended:
            assert len(self.tokens) == len(self.expected)
            assert end_of(self.error) == end_of(self.failure)


class Callers(RuleBasedStateMachine):
    """Steps of several calls are asked for at the same time, so that their questions share rounds."""

    def __init__(self) -> None:
        super().__init__()
        self.adapter = faulty(concurrency=3)
        self.calls: list[tuple[Call, Any]] = []
        self.pool = ThreadPoolExecutor(8)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.blocking, self.tasks = Session(self.adapter), AsyncSession(self.adapter)

    @precondition(lambda self: len(self.calls) < 7)
    @rule(prompt=st.integers(0, 9), chain=st.integers(0, 2), task=st.booleans(), priority=st.integers(-1, 1))
    def join(self, prompt: int, chain: int, task: bool, priority: int) -> None:
        call = Call(prompt, chain, len(self.calls))
        session: Any = self.tasks if task else self.blocking
        self.calls.append((call, session.stream(call.prompt, priority=priority, **call.options)))

    def begun(self, steps: Any) -> Future[Any]:
        if hasattr(steps, "aclose"):
            return asyncio.run_coroutine_threadsafe(self.next_of(steps), self.loop)
        return self.pool.submit(next, steps, None)

    @staticmethod
    async def next_of(steps: Any) -> Any:
        return await anext(steps, None)

    @staticmethod
    async def cancelled(steps: Any) -> None:
        waiting = asyncio.ensure_future(anext(steps, None))
        for _ in range(3):
            await asyncio.sleep(0)
        waiting.cancel()
        with suppress(DecodekitError, asyncio.CancelledError):
            await waiting
        await steps.aclose()

    @rule(count=st.integers(1, 7), fault=st.sampled_from(["", "", "raise", "fewer"]))
    def advance(self, count: int, fault: str) -> None:
        """Some take a step, all at once; perhaps a call of several rows fails, which no caller may notice."""
        self.adapter.fault = fault  # type: ignore[attr-defined]
        asked = [(call, self.begun(steps)) for call, steps in self.calls[:count] if not call.ended]
        for call, future in asked:
            try:
                step = future.result(WAIT)
            except DecodekitError as error:
                call.error, step = error, None
            call.ended = step is None
            if step is not None:
                call.tokens.append(step.token_id)
            call.check()
        self.calls = self.calls[count:] + self.calls[:count]

    @precondition(lambda self: self.calls)
    @rule(meanwhile=st.integers(1, 3))
    def leave(self, meanwhile: int) -> None:
        """The first leaves: a task while it waits for its next step, as others do."""
        call, steps = self.calls.pop(0)
        others = [(each, self.begun(stream)) for each, stream in self.calls[:meanwhile] if not each.ended]
        if hasattr(steps, "aclose"):
            asyncio.run_coroutine_threadsafe(self.cancelled(steps), self.loop).result(WAIT)
        else:
            steps.close()
        for each, waiting in others:
            try:
                step = waiting.result(WAIT)
            except DecodekitError as error:
                each.error, step = error, None
            each.ended = step is None
            if step is not None:
                each.tokens.append(step.token_id)
        call.check()

    @rule(prompt=st.integers(5, 9))
    def out_of_time(self, prompt: int) -> None:
        result = self.blocking.generate([prompt], max_tokens=3, deadline=0.0, seed=3)
        assert (result.token_ids, result.finish_reason) == ((), "deadline")

    @invariant()
    def what_everybody_has_is_right(self) -> None:
        for call, _ in self.calls:
            call.check()

    def teardown(self) -> None:
        for _ in range(LENGTH + 1):
            self.advance(len(self.calls), "")
        assert all(call.ended for call, _ in self.calls)
        assert rounds_of(self.adapter).waiting == 0
        asyncio.run_coroutine_threadsafe(self.loop.shutdown_default_executor(), self.loop).result(WAIT)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(WAIT)
        self.loop.close()
        self.pool.shutdown()


TestCallers = Callers.TestCase
TestCallers.settings = settings(max_examples=60, stateful_step_count=12)


def descriptors() -> int:
    here = Path("/proc/self/fd")
    return len(list(here.iterdir())) if here.is_dir() else 0


@pytest.mark.parametrize("requests", [2000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_many_short_requests_leave_nothing_behind(requests: int) -> None:
    """From 64 tasks; some are cancelled, some fail, and all others have the tokens that they have alone."""
    adapters = [faulty()]
    expected = [Session(faulty()).generate([9], max_tokens=3, seed=3, stream=i).token_ids for i in range(16)]
    left = iter(range(requests))

    async def worker(session: AsyncSession) -> int:
        done = 0
        for i in left:
            options: Any = {"max_tokens": 3, "seed": 3, "stream": i % 16, "level": "none"}
            if i % 31 == 0:
                with pytest.raises(AdapterError):
                    await session.generate([RAISES], **options)
            elif i % 37 == 0:
                task = asyncio.ensure_future(session.generate([9], **options))
                await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            else:
                assert (await session.generate([9], **options)).token_ids == expected[i % 16]
            done += 1
        return done

    async def main() -> int:
        session = AsyncSession(adapters[0])
        done = await asyncio.gather(*(worker(session) for _ in range(64)))
        assert len(asyncio.all_tasks()) == 1
        return sum(done)

    threads, files = threading.active_count(), descriptors()
    assert asyncio.run(main()) == requests
    assert (threading.active_count(), descriptors(), rounds_of(adapters[0]).waiting) == (threads, files, 0)
    gone = weakref.ref(adapters[0])
    adapters.clear()
    gc.collect()
    assert gone() is None  # nothing keeps it: no round, no question


def test_closing_while_callers_wait_is_an_error_of_each(tmp_path) -> None:
    entered, opened = threading.Event(), threading.Event()

    def act(inner: Any, prefixes: Any, wanted: Any) -> Any:
        entered.set()
        assert opened.wait(WAIT)
        return inner.predict(prefixes, wanted)

    adapter = Around(table(), act)

    async def main() -> list[object]:
        session = AsyncSession(adapter, seed=1)
        paths = [tmp_path / f"{i}" for i in range(4)]
        calls = [asyncio.ensure_future(session.generate([i], max_tokens=5, trace=p)) for i, p in enumerate(paths)]
        assert await asyncio.to_thread(entered.wait, WAIT)
        adapter.close()
        opened.set()
        return await asyncio.gather(*calls, return_exceptions=True)

    for error in asyncio.run(main()):
        assert isinstance(error, AdapterError) and "closed" in str(error)
        assert error.partial is not None


def test_results_that_are_left_end_their_run(tmp_path) -> None:
    results = Session(table(), seed=1).as_completed([[1], [2]], max_tokens=3, trace=tmp_path / "run")
    assert next(results).finish_reason == "length"
    results.close()  # type: ignore[attr-defined]
    ends = decodekit.read_trace(tmp_path / "run").footer.ends
    assert [(end.finish_reason, end.tokens) for end in ends] == [("length", 3), ("cancelled", 2)]
