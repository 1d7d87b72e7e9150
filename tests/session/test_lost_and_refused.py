"""What must be refused at once, and what must not be lost when a caller's own code raises."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest

import decodekit
from decodekit import AdapterError, AsyncSession, ContextOverflow, ParameterError, Prefix, Session
from decodekit.testing import NGramAdapter
from tests.model.test_asking import Waited
from tests.session.conftest import Around, plain, table

ADAPTER = NGramAdapter("the cat sat on the mat. " * 3)


class Own(Exception):
    """An error of an application."""


def raising(after: int) -> Callable[[Any], bool]:
    seen = itertools.count(1)

    def call(_: Any) -> bool:
        if next(seen) >= after:
            raise Own
        return False

    return call


def test_an_error_of_the_callers_own_has_what_was_generated() -> None:
    session = Session(ADAPTER, seed=1)
    whole = session.generate("the ", max_tokens=8).token_ids
    with pytest.raises(Own) as caught:
        session.generate("the ", max_tokens=8, until=raising(3))
    assert caught.value.partial.token_ids == whole[:3]  # type: ignore[attr-defined]
    with pytest.raises(Own) as caught:
        list(session.stream("the ", max_tokens=8, until=raising(3)))
    assert caught.value.partial.token_ids == whole[:3]  # type: ignore[attr-defined]
    with pytest.raises(Own) as caught:
        session.generate_many(["the ", "a "], max_tokens=3, progress=raising(1))
    assert [each.finish_reason for each in caught.value.partial] == ["length", "length"]  # type: ignore[attr-defined]

    async def main() -> None:
        await AsyncSession(ADAPTER, seed=1).generate("the ", max_tokens=8, until=raising(3))

    with pytest.raises(Own) as caught:
        asyncio.run(main())
    assert caught.value.partial.token_ids == whole[:3]  # type: ignore[attr-defined]


def test_an_interrupt_has_what_was_generated() -> None:
    def until(step: Any) -> bool:
        if step.index == 2:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt) as caught:
        Session(ADAPTER, seed=1).generate("the ", max_tokens=8, until=until)
    assert len(caught.value.partial.token_ids) == 3  # type: ignore[attr-defined]


def test_generate_many_refuses_an_iterator_before_it_is_read() -> None:
    endless = itertools.repeat("the ")
    with pytest.raises(ParameterError, match="as_completed reads an iterator"):
        Session(ADAPTER).generate_many(endless)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="as_completed reads an iterator"):
        asyncio.run(AsyncSession(ADAPTER).generate_many(endless))  # type: ignore[arg-type]


@pytest.mark.parametrize(("n", "stream"), [(2, 2**64 - 1), (2, 2**32 - 1), (1, 2**64 - 2**32)])
def test_streams_that_no_record_can_hold_are_refused(n: int, stream: int) -> None:
    with pytest.raises(ParameterError, match=r"a stream is the prompt's number << 32"):
        Session(ADAPTER).generate_many(["the ", "a "], n=n, stream=stream, max_tokens=2)


def test_what_does_not_fit_is_refused_before_anything_is_evaluated() -> None:
    adapter = Around(table(context_length=500), plain, context_length=500)
    session, long = Session(adapter, seed=1), [1] * 900
    with pytest.raises(ContextOverflow):
        session.generate(long, max_tokens=1)
    with pytest.raises(ContextOverflow):
        session.generate(long, max_tokens=1, deadline=20.0)
    for call in (lambda: session.score([1], long), lambda: session.rank([1], [long, [2]])):
        with pytest.raises(ContextOverflow, match=r"900|901"):
            call()
    assert all(len(prefix) == 900 for prefixes, _ in adapter.asked for prefix in prefixes)


@pytest.mark.parametrize("error", [asyncio.CancelledError, GeneratorExit, StopAsyncIteration], ids=lambda e: e.__name__)
def test_an_adapter_that_raises_what_cancels_fails_and_cancels_nobody(error: type[BaseException]) -> None:
    def act(inner: Any, prefixes: Any, wanted: Any) -> Any:
        if any(prefix.token_ids[0] == 9 for prefix in prefixes):
            raise error
        return inner.predict(prefixes, wanted)

    session = AsyncSession(Around(table(), act), seed=1)

    async def main() -> list[Any]:
        calls = (session.generate([first], max_tokens=4) for first in (1, 9, 2, 3))
        return await asyncio.gather(*calls, return_exceptions=True)

    found = asyncio.run(main())
    assert isinstance(found[1], AdapterError) and error.__name__ in str(found[1])
    alone = [Session(table(), seed=1).generate([first], max_tokens=4).token_ids for first in (1, 2, 3)]
    assert [found[place].token_ids for place in (0, 2, 3)] == alone
    with pytest.raises(AdapterError, match=error.__name__):
        Session(Around(table(), act), seed=1).generate([9], max_tokens=1)


def test_an_async_adapter_that_raises_a_cancellation_of_its_own_fails() -> None:
    class Cancelled(Waited):
        async def apredict(self, prefixes: Any, disclose: Any = decodekit.CHEAP) -> Any:
            raise asyncio.CancelledError

    with pytest.raises(AdapterError, match="CancelledError"):
        asyncio.run(AsyncSession(Cancelled(), seed=1).generate([1], max_tokens=1))


def test_an_adapter_that_asks_itself_says_so() -> None:
    def act(inner: Any, prefixes: Any, wanted: Any) -> Any:
        Session(adapter, seed=1).generate([2], max_tokens=1)
        return inner.predict(prefixes, wanted)

    adapter = Around(table(), act)
    with pytest.raises(AdapterError, match="asked itself"):
        Session(adapter, seed=1).generate([1], max_tokens=1)


def test_a_stream_has_its_result_also_when_it_is_left() -> None:
    session = Session(ADAPTER, seed=1)
    whole = session.generate("the ", max_tokens=5)
    with session.stream("the ", max_tokens=5) as steps:
        assert steps.result is None
        assert "".join(step.text for step in steps) == whole.text
    assert steps.result is not None and steps.result.token_ids == whole.token_ids
    assert (steps.result.finish_reason, steps.result.seed) == ("length", 1)
    with session.stream("the ", max_tokens=5) as steps:
        next(steps)
        next(steps)
    assert steps.result is not None
    assert (steps.result.token_ids, steps.result.finish_reason) == (whole.token_ids[:2], "cancelled")

    async def main() -> decodekit.Result | None:
        async with AsyncSession(ADAPTER, seed=1).stream("the ", max_tokens=5) as steps:
            async for step in steps:
                if step.index == 1:
                    break
        return steps.result

    left = asyncio.run(main())
    assert left is not None and (left.token_ids, left.finish_reason) == (whole.token_ids[:2], "cancelled")


def test_a_prompt_that_the_cache_has_lost_comes_in_portions_again() -> None:
    adapter = Around(table(), plain, context_length=700)
    session = Session(adapter, seed=1)

    def largest(first: int) -> int:
        """The most tokens that one question has more than the one before it."""
        adapter.asked.clear()
        session.generate(Prefix([first] * 600), max_tokens=1)
        lengths = [0, *(len(prefixes[0]) for prefixes, _ in adapter.asked)]
        return max(after - before for before, after in itertools.pairwise(lengths))

    first = largest(1)
    assert first < 600
    assert largest(1) == 600  # it is held: one question
    for other in (2, 3, 4):
        largest(other)
    assert largest(1) == first
