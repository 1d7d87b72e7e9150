"""Asking an adapter from a task of any event loop, and connecting and closing it there."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TypeVar
from weakref import WeakKeyDictionary

from decodekit.distribution.disclosure import Disclosure
from decodekit.errors import AdapterError
from decodekit.fork import after_fork
from decodekit.model.adapter import Adapter, Answer, AsyncAdapter
from decodekit.model.ahead import AheadInTask
from decodekit.model.asking import blocking, checked, drain, is_async, raise_typed
from decodekit.model.background import Background
from decodekit.model.in_flight import in_flight
from decodekit.model.loops import OutOfTime, running
from decodekit.model.prefix import Prefix

__all__ = ["ask_from_task", "awaited", "close_from_task", "connect_from_task"]

Value = TypeVar("Value")

_aways: WeakKeyDictionary[AsyncAdapter, Background] = WeakKeyDictionary()
_guard = threading.Lock()


async def ask_from_task(
    adapter: Adapter | AsyncAdapter,
    prefixes: Sequence[Prefix],
    needs: Sequence[Disclosure],
    *,
    until: float | None = None,
    priority: int = 0,
    tokens: int = 0,
    caller: object = None,
) -> list[Answer]:
    """As `decodekit.model.asking.ask`, from a task. A blocking adapter is called in a worker thread."""
    if not is_async(adapter):
        question = AheadInTask(adapter, prefixes, needs, until, priority, tokens, caller)  # type: ignore[arg-type]
        try:
            return await question.answers()
        finally:
            question.give_up()
    asked, own = in_flight(adapter), object()
    try:
        asked.add(own)
        answers = await awaited(adapter, lambda: adapter.apredict(prefixes, needs), until)
    except OutOfTime:
        raise
    except asyncio.CancelledError as error:
        task = asyncio.current_task() if running().is_asyncio else None
        if task is None or not task.cancelling():  # the adapter's own: nobody cancelled this call
            raise_typed(error, adapter.info.name)
        raise
    except Exception as error:
        raise_typed(error, adapter.info.name)
    finally:
        asked.discard(own)
    return checked(answers, prefixes, adapter.info)


async def connect_from_task(adapter: Adapter | AsyncAdapter, until: float | None = None) -> None:
    """Connect an async adapter that has a coroutine function ``connect``, before the time ``until``.

    Raises:
        AdapterError: it could not connect, or not in time.
    """
    connecting: Callable[[], Awaitable[None]] | None = getattr(adapter, "connect", None)
    if connecting is None or not is_async(adapter):
        return
    try:
        await awaited(adapter, connecting, until)
    except OutOfTime:
        raise AdapterError(f"{type(adapter).__name__} could not connect before the deadline") from None


async def close_from_task(adapter: Adapter | AsyncAdapter) -> None:
    """Close an adapter, also in a task that is being cancelled: nothing is left half closed."""
    loop = running()
    if is_async(adapter) and loop.is_asyncio:
        await loop.to_the_end(adapter.aclose)
    else:
        await loop.to_the_end(lambda: loop.in_thread(lambda: _close_away(adapter)))


async def awaited(adapter: AsyncAdapter, call: Callable[[], Awaitable[Value]], until: float | None = None) -> Value:
    """Await a method of an async adapter, until a time.

    Such an adapter is written for asyncio. In another event loop its calls run on an asyncio loop in a thread, which
    ends with the adapter.
    """
    if not running().is_asyncio:
        return await _away(adapter).wait_from_task(call, until)
    if until is None:
        return await call()
    try:
        async with asyncio.timeout(max(0.0, until - time.monotonic())) as limit:
            return await call()
    except TimeoutError:
        if limit.expired():
            raise OutOfTime from None
        raise


def _away(adapter: AsyncAdapter) -> Background:
    try:
        with _guard:
            background = _aways.get(adapter)
            if background is None or not background.usable:
                background = _aways[adapter] = Background(adapter, adapter, adapter.info.name)
            return background
    except TypeError:
        raise AdapterError(
            f"{type(adapter).__name__} has no hash or takes no weak references, so nothing can say when its event loop "
            "ends: it can be used in asyncio, not in other event loops"
        ) from None


def _close_away(adapter: Adapter | AsyncAdapter) -> None:
    """Close an adapter in the loop of its calls, which ends then."""
    try:
        drain(adapter)
        blocking(adapter).close()
    finally:
        with suppress(KeyError, TypeError):
            _aways.pop(adapter).close()  # type: ignore[arg-type]


@after_fork
def _forget_aways() -> None:
    """In a forked process: the threads are gone, and the lock may stay locked."""
    global _aways, _guard
    _aways, _guard = WeakKeyDictionary(), threading.Lock()
