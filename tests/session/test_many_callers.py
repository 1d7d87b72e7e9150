"""Sessions in threads and tasks over one faulty adapter: joins, leaves, cancels, faults, in any order.

Whatever the others do, a call gets the steps that it gets alone: none lost, none twice, and the same end.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import decodekit
from decodekit import AdapterError, AsyncSession, DecodekitError, Session
from decodekit.model import ahead
from decodekit.model.asking import rounds_of
from tests.session.callers import CHAINS, FAILS_ALONE, LENGTH, Call, Together, faulty
from tests.session.conftest import Around, table

WAIT = 60  # seconds; nothing here takes as long
CHAIN = st.integers(0, len(CHAINS) - 1)


class Callers(RuleBasedStateMachine):
    """Steps of several calls are asked for at the same time, so that their questions share rounds."""

    def __init__(self) -> None:
        super().__init__()
        self.adapter: Any = faulty(concurrency=3)
        self.calls: list[tuple[Call, Any]] = []
        self.together: list[tuple[Together, Future[Any]]] = []
        self.pool = ThreadPoolExecutor(10)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.blocking, self.tasks = Session(self.adapter), AsyncSession(self.adapter)
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(ahead, "_LONG", 0.0)  # however short a call is

    @initialize(overlaps=st.booleans())
    def kind_of_adapter(self, overlaps: bool) -> None:
        """With it, the next question is begun before a step is recorded."""
        self.adapter.overlaps = overlaps

    @precondition(lambda self: len(self.calls) < 7)
    @rule(
        prompt=st.integers(0, 9),
        chain=CHAIN,
        task=st.booleans(),
        priority=st.integers(-1, 1),
        guesses=st.booleans(),
        deadline=st.sampled_from([None, None, 0.001, 0.02]),
    )
    def join(self, prompt: int, chain: int, task: bool, priority: int, guesses: bool, deadline: float | None) -> None:
        call = Call(prompt, chain, len(self.calls), guesses=guesses, deadline=deadline)
        session: Any = self.tasks if task else self.blocking
        self.calls.append((call, session.stream(call.prompt, priority=priority, **call.options)))

    @precondition(lambda self: len(self.together) < 2)
    @rule(
        prompts=st.lists(st.sampled_from([*FAILS_ALONE, 5, 6, 7]).map(lambda i: i + 10), min_size=1, max_size=3),
        chain=CHAIN,
        n=st.integers(1, 2),
        task=st.booleans(),
    )
    def join_together(self, prompts: list[int], chain: int, n: int, task: bool) -> None:
        """Several sequences in one call, which goes on by itself while the others come and go."""
        call = Together(prompts, chain, n)
        future: Future[Any]
        if task:
            calling = self.tasks.generate_many(call.prompts, n=n, **call.options)
            future = asyncio.run_coroutine_threadsafe(calling, self.loop)
        else:
            future = self.pool.submit(self.blocking.generate_many, call.prompts, n=n, **call.options)
        self.together.append((call, future))

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

    @staticmethod
    def took(call: Call, future: Future[Any]) -> None:
        try:
            step = future.result(WAIT)
        except DecodekitError as error:
            call.error, step = error, None
        call.ended = step is None
        if step is not None:
            call.tokens.append(step.token_id)

    @rule(count=st.integers(1, 7), fault=st.sampled_from(["", "", "raise", "fewer"]))
    def advance(self, count: int, fault: str) -> None:
        """Some take a step, all at once; perhaps a call of several rows fails, which no caller may notice."""
        self.adapter.fault = fault
        asked = [(call, self.begun(steps)) for call, steps in self.calls[:count] if not call.ended]
        for call, future in asked:
            self.took(call, future)
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
            self.took(each, waiting)
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
        for call, future in self.together:
            call.check(future.result(WAIT))
        assert rounds_of(self.adapter).waiting == 0
        asyncio.run_coroutine_threadsafe(self.loop.shutdown_default_executor(), self.loop).result(WAIT)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(WAIT)
        self.loop.close()
        self.pool.shutdown()
        self.patch.undo()


TestCallers = Callers.TestCase
TestCallers.settings = settings(max_examples=40, stateful_step_count=12)


@pytest.mark.slow
class TestMoreCallers(Callers.TestCase):  # type: ignore[misc,name-defined]
    """The same, for minutes."""

    settings = settings(max_examples=500, stateful_step_count=30)


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
