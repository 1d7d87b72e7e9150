"""What a task waits with, in the event loop that runs it: one of asyncio (uvloop too), or trio.

anyio runs on one of these two. trio is imported only in a process that runs it.
"""

from __future__ import annotations

import asyncio
import math
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from typing import Protocol, TypeVar
from weakref import WeakKeyDictionary

from decodekit.errors import AdapterError
from decodekit.fork import after_fork

__all__ = ["EventLoop", "OutOfTime", "Signal", "running"]

Value = TypeVar("Value")


class OutOfTime(Exception):
    """There was no answer in time. Internal: no caller of this library sees it."""


class Signal(Protocol):
    """One task waits for it; it is set once, in any thread."""

    def ring(self) -> None:
        """Let the task go on. Does nothing if its event loop has ended."""

    async def wait(self, until: float | None) -> None:
        """Wait until it is set. Raises `OutOfTime` at the time ``until``, on the clock of ``time.monotonic``."""


class EventLoop(Protocol):
    """An event loop, from inside of one of its tasks."""

    @property
    def key(self) -> Hashable:
        """The same object for all tasks of one loop."""

    @property
    def is_asyncio(self) -> bool:
        """Whether what was written for asyncio can be awaited here."""

    def signal(self) -> Signal:
        """A new one, for this task."""

    def start(self, function: Callable[[], object]) -> None:
        """Run a function in a worker thread; nobody waits for it."""

    async def in_thread(self, function: Callable[[], Value]) -> Value:
        """The value of a function that runs in a worker thread. A task that is cancelled does not wait for it."""

    async def to_the_end(self, call: Callable[[], Awaitable[object]]) -> None:
        """Await something that must not be left half done: a cancellation comes after it."""


def running() -> EventLoop:
    """The event loop of the task that this is called from.

    Raises:
        AdapterError: there is none that this library knows.
    """
    in_trio_task = getattr(
        sys.modules.get("trio.lowlevel"), "in_trio_task", None
    )  # None while another thread imports it
    if in_trio_task is not None and in_trio_task():
        return _Trio()
    try:
        return _Asyncio(asyncio.get_running_loop())
    except RuntimeError:
        raise AdapterError(
            "no event loop is running that an AsyncSession knows; it works in tasks of asyncio (uvloop too) and of "
            "trio, and so under anyio. In blocking code use Session"
        ) from None


class _Asyncio:
    is_asyncio = True

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.key = loop

    def signal(self) -> Signal:
        return _AsyncioSignal(self.key)

    def start(self, function: Callable[[], object]) -> None:
        self.key.run_in_executor(None, function)

    async def in_thread(self, function: Callable[[], Value]) -> Value:
        return await asyncio.to_thread(function)

    async def to_the_end(self, call: Callable[[], Awaitable[object]]) -> None:
        task, cancelled = asyncio.ensure_future(call()), None
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as error:  # anyio cancels again and again
                cancelled = error
        if cancelled is not None:
            task.exception()  # seen
            raise cancelled
        task.result()


class _AsyncioSignal:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._event = loop, asyncio.Event()

    def ring(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self, until: float | None) -> None:
        if until is None:
            await self._event.wait()
            return
        try:
            async with asyncio.timeout(max(0.0, until - time.monotonic())):
                await self._event.wait()
        except TimeoutError:
            raise OutOfTime from None


class _Trio:
    is_asyncio = False

    def __init__(self) -> None:
        from trio.lowlevel import current_trio_token

        self.key = current_trio_token()

    def signal(self) -> Signal:
        return _TrioSignal()

    def start(self, function: Callable[[], object]) -> None:
        _workers_of(self.key).submit(function)

    async def in_thread(self, function: Callable[[], Value]) -> Value:
        ended, future = self.signal(), _workers_of(self.key).submit(copy_context().run, function)
        future.add_done_callback(lambda _: ended.ring())
        await ended.wait(None)
        return future.result()

    async def to_the_end(self, call: Callable[[], Awaitable[object]]) -> None:
        from trio import CancelScope

        with CancelScope(shield=True):
            await call()


class _TrioSignal:
    def __init__(self) -> None:
        from trio import Event
        from trio.lowlevel import current_trio_token

        self._token, self._event = current_trio_token(), Event()

    def ring(self) -> None:
        from trio import RunFinishedError

        with suppress(RunFinishedError):
            self._token.run_sync_soon(self._event.set)

    async def wait(self, until: float | None) -> None:
        from trio import move_on_after

        with move_on_after(math.inf if until is None else max(0.0, until - time.monotonic())):
            await self._event.wait()
        if not self._event.is_set():
            raise OutOfTime


_workers: WeakKeyDictionary[object, ThreadPoolExecutor] = WeakKeyDictionary()
_guard = threading.Lock()


def _workers_of(run: object) -> ThreadPoolExecutor:
    """The worker threads of one run of trio; they end with it. trio's own are daemons.

    At the end of the process a daemon in the middle of a forward pass would break it down.
    """
    with _guard:
        return _workers.get(run) or _workers.setdefault(run, ThreadPoolExecutor(thread_name_prefix="decodekit-trio"))


@after_fork
def _forget_workers() -> None:
    """In a forked process: the threads are gone, and the lock may stay locked."""
    global _workers, _guard
    _workers, _guard = WeakKeyDictionary(), threading.Lock()
