"""A call that is cancelled at any of its awaits, counted one by one, in each event loop and in each way.

Its trace is whole and has the beginning of its tokens; the calls beside it get what each gets alone; nothing waits.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import pytest

import decodekit
from decodekit import AsyncSession, Session
from decodekit.model import ahead
from decodekit.model.admission import waiting_for
from tests.model.test_asking import Waited
from tests.session.conftest import Around, plain, table

LENGTH, NEIGHBOURS = 3, (7, 8)
PATIENCE = 100  # seconds: nothing waits as long unless a test fails


class Overlapping(Around):
    """Its next question is begun before a step is recorded."""

    overlaps = True


ADAPTERS: dict[str, Callable[[], Any]] = {
    "blocking": lambda: Around(table(), plain),
    "ahead": lambda: Overlapping(table(), plain),
    "async": Waited,
}


class ActsAt:
    """Awaits a coroutine, and does something where it suspends for the n-th time, before it waits there."""

    def __init__(self, coroutine: Any, at: int, act: Callable[[], object]) -> None:
        self.coroutine, self.at, self.act = coroutine, at, act
        self.suspensions = 0

    def __await__(self) -> Any:
        steps, value, error = self.coroutine.__await__(), None, None
        while True:
            try:
                waited_for = steps.send(value) if error is None else steps.throw(error)
            except StopIteration as end:
                return end.value
            if self.suspensions == self.at:
                self.act()
            self.suspensions += 1
            value, error = None, None
            try:
                value = yield waited_for
            except BaseException as raised:
                error = raised


def alone(prompt: int, tokens: int) -> tuple[int, ...]:
    return Session(table(), seed=3).generate([prompt], max_tokens=tokens).token_ids


async def call(session: AsyncSession, method: str, trace: Path) -> None:
    options: Any = {"max_tokens": LENGTH, "trace": trace}
    if method == "generate":
        await session.generate([5], **options)
    elif method == "generate_many":
        await session.generate_many([[5]], **options)
    elif method == "stream":
        async with session.stream([5], **options) as steps:
            async for _ in steps:
                await anyio.lowlevel.checkpoint()
    else:
        async with aclosing(session.as_completed([[5]], **options)) as results:
            async for _ in results:
                await anyio.lowlevel.checkpoint()


@pytest.fixture(autouse=True)
def _asks_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_LONG", 0.0)  # however short a call is


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
@pytest.mark.parametrize("kind", ADAPTERS)
@pytest.mark.parametrize("method", ["generate", "stream", "generate_many", "as_completed"])
def test_a_call_cancelled_at_any_await_ends_as_cancelled_alone(method: str, kind: str, loop: str, tmp_path) -> None:
    pytest.importorskip(loop)
    adapter = ADAPTERS[kind]()
    session, expected = AsyncSession(adapter, seed=3), alone(5, LENGTH)
    beside = {i: alone(i, LENGTH) for i in NEIGHBOURS}
    ends: list[str] = []

    async def neighbour(i: int, found: dict[int, object]) -> None:
        found[i] = (await session.generate([i], max_tokens=LENGTH)).token_ids

    async def main() -> None:
        for at in count():
            trace, found = tmp_path / f"{at}", dict[int, object]()
            async with anyio.create_task_group() as tasks:
                for i in NEIGHBOURS if at % 2 else ():
                    tasks.start_soon(neighbour, i, found)
                with anyio.CancelScope() as scope:
                    acts = ActsAt(call(session, method, trace), at, scope.cancel)
                    await acts
            assert found == (beside if at % 2 else {})
            assert waiting_for(adapter) == 0
            if trace.exists():
                whole = decodekit.read_trace(trace)
                assert whole.token_ids() == list(expected[: len(whole.steps)]) and whole.footer is not None
                ends.append(whole.footer.ends[0].finish_reason)
                assert decodekit.verify(trace).word == "proved"
            if acts.suspensions <= at:
                assert ends[-1] == "length"
                return

    async def limited() -> None:
        with anyio.fail_after(PATIENCE):
            await main()

    anyio.run(limited, backend=loop)
    assert set(ends[:-1]) <= {"cancelled", "length"} and ends.count("cancelled") >= 2
