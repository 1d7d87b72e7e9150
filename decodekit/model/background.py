"""One event loop in one thread for all who wait for one async adapter.

A loop is shared by its users and ends with the last of them: with a session that is closed, or that is dropped and
collected. A process that was forked has none of its parent's threads, so it starts loops of its own.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, WeakSet, finalize

from decodekit.errors import AdapterError

__all__ = ["Background", "OutOfTime"]

Value = TypeVar("Value")


class OutOfTime(Exception):
    """Nothing came within the time there was. Private to who waits: no caller of this library sees it."""


class Background:
    """A user's hold on the loop of an adapter.

    Args:
        user: when it is collected, the hold ends with it.
        adapter: whose loop it is; users of one adapter share one.
        name: what errors call the adapter.
        casual: use the loop that others hold, and let it end with the last of them. Where nobody else does, it stays.
    """

    def __init__(self, user: object, adapter: object, name: str, *, casual: bool = False) -> None:
        self._loop = _loop_of(adapter, casual)
        self._name, self._casual = name, casual
        self._dropped = finalize(user, self._loop.dropped, casual)
        self._dropped.atexit = False
        self._waiting: set[Future[Any]] = set()

    @property
    def usable(self) -> bool:
        """Whether its thread is there: it was not closed, and the process is not a fork of the one that began it."""
        return self._dropped.alive and self._loop.open and self._loop.process == os.getpid()

    def close(self) -> None:
        """Give the loop up; it ends with the last hold. What is waited for is cancelled. Twice does nothing."""
        cancelled = list(self._waiting)
        for waiting in cancelled:
            waiting.cancel()
        if self._dropped.detach() is None or self._loop.process != os.getpid():
            return
        if self._loop.leave(self._casual, cancelled=len(cancelled)):
            self._loop.join()

    def wait(self, question: Callable[[], Awaitable[Value]], seconds: float | None = None) -> Value:
        """The value, or the error, of something awaited on the loop. An interrupt while waiting cancels it.

        Raises:
            OutOfTime: the seconds have passed; what was awaited is cancelled.
            AdapterError: the loop was closed, or this is its own thread, which would wait for itself.
        """
        if threading.current_thread() is self._loop.thread:
            raise AdapterError(f"adapter {self._name!r} was asked from within its own event loop; await it there")
        waiting = self._loop.submit(_carried(question))
        if waiting is None:
            raise AdapterError(f"adapter {self._name!r} is closed")
        self._waiting.add(waiting)
        try:
            value, error = waiting.result(seconds)
        except CancelledError:
            raise AdapterError(f"adapter {self._name!r} was closed while it was asked") from None
        except TimeoutError:  # of the waiting: an error of the question comes as a value
            raise OutOfTime from None
        finally:
            waiting.cancel()
            self._waiting.discard(waiting)
            self._loop.answered()
        if error is not None:
            raise error
        return value  # type: ignore[no-any-return]


class _Loop:
    """A loop, its thread, and how many use it. It holds on to no user and no adapter, so they can be collected."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.open = True
        self._users = self._casual_users = 0
        self._asked = 0  # questions that somebody waits for
        self._ends = False  # with the last of them
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._loop = self._runner.get_loop()
        self.thread = threading.Thread(target=self._serve, name="decodekit-adapter", daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        with self._runner:  # on the way out it cancels what still runs and closes the loop
            self._loop.run_forever()

    def submit(self, question: Any) -> Any:
        """A future of the coroutine's result; None once the loop was told to stop."""
        with _guard:
            if self.open:
                self._asked += 1
                return asyncio.run_coroutine_threadsafe(question, self._loop)
        question.close()
        return None

    def answered(self) -> None:
        """Nobody waits for one of the questions any more."""
        with _guard:
            self._asked -= 1
            if self._ends and self.open and not self._asked:
                self.stop()

    def enter(self, casual: bool) -> None:
        """One user more."""
        self._casual_users += casual
        self._users += not casual
        self._ends = self._ends and casual

    def leave(self, casual: bool, cancelled: int = 0) -> bool:
        """One user less; whether the loop stops now. It does with the last, once nobody waits for a question."""
        with _guard:
            self._casual_users -= casual
            self._users -= not casual
            if not self.open or self._users or (casual and self._casual_users):
                return False
            self._ends = True
            if self._asked > cancelled:
                return False
            self.stop()
            return True

    def dropped(self, casual: bool) -> None:
        """One user less, told by the garbage collector: that may be anywhere, so nothing here waits for anything."""
        if self.process == os.getpid():
            with contextlib.suppress(RuntimeError):  # it is closed already
                self._loop.call_soon_threadsafe(self.leave, casual)
        else:
            _of_the_parent.append(self)

    def stop(self) -> None:
        """End the loop soon."""
        self.open = False
        self._loop.call_soon_threadsafe(self._loop.stop)

    def join(self) -> None:
        """Wait until the thread has ended, unless this is it."""
        if threading.current_thread() is not self.thread:
            self.thread.join()


_guard = threading.Lock()  # nothing is handed to a loop once it is told to stop
_loops: WeakKeyDictionary[object, _Loop] = WeakKeyDictionary()
_all: WeakSet[_Loop] = WeakSet()
_of_the_parent: list[object] = []


def _loop_of(adapter: object, casual: bool) -> _Loop:
    with _guard:
        try:
            loop = _loops.get(adapter)
        except TypeError:  # no hash, or slots without __weakref__: a loop for each user
            loop = None
        if loop is None or not loop.open:
            loop = _Loop()
            _all.add(loop)
            with contextlib.suppress(TypeError):
                _loops[adapter] = loop
        loop.enter(casual)
        return loop


def _begin_anew() -> None:
    """In a fork: locks that another thread held stay locked, and threads are gone. The parent's loops are kept, never
    used: to close one would close what the parent still waits on."""
    global _guard, _loops, _all
    _of_the_parent.extend(_all)
    _guard, _loops, _all = threading.Lock(), WeakKeyDictionary(), WeakSet()


def _end_all() -> None:
    """At the end of the process, while tasks can still be cancelled in order."""
    for loop in [each for each in _all if each.open]:
        loop.stop()
        loop.join()


atexit.register(_end_all)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


async def _carried(question: Callable[[], Awaitable[Value]]) -> tuple[Any, BaseException | None]:
    """Errors travel as values: a KeyboardInterrupt raised inside a task would end the loop, and leave us waiting."""
    try:
        return await question(), None
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        return None, error
