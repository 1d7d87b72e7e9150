"""One event loop in one thread for all users of one async adapter.

The loop ends with its last user: a session that is closed, or one that is garbage-collected. A forked process has none
of its parent's threads, so it starts its own loops.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, WeakSet, finalize

from decodekit.errors import AdapterError
from decodekit.fork import after_fork
from decodekit.model.loops import OutOfTime, running
from decodekit.threads import Bell

__all__ = ["Background"]

Value = TypeVar("Value")


class Background:
    """One user's access to the loop of an adapter.

    Args:
        user: when it is garbage-collected, the access ends.
        adapter: the adapter; its users share one loop.
        name: the adapter's name in errors.
        casual: do not keep the loop running: it ends with the last other user. Without other users it stays.
    """

    def __init__(self, user: object, adapter: object, name: str, *, casual: bool = False) -> None:
        self._loop = _loop_of(adapter, casual)
        self._name, self._casual = name, casual
        self._dropped = finalize(user, self._loop.dropped, casual)
        self._dropped.atexit = False
        self._waiting: set[_Call] = set()

    @property
    def usable(self) -> bool:
        """Whether its thread runs: it was not closed, and this process is the one that started it, not a fork."""
        return self._dropped.alive and self._loop.open and self._loop.process == os.getpid()

    def close(self) -> None:
        """End the access; the loop ends with its last user. Calls in progress are cancelled. Twice does nothing."""
        with _guard:  # a call is begun before this and cancelled here, or it is refused
            used, cancelled = self._dropped.detach(), list(self._waiting)
        for waiting in cancelled:
            waiting.cancel()
        if used is None or self._loop.process != os.getpid():
            return
        if self._loop.leave(self._casual):
            self._loop.join()

    def wait(self, question: Callable[[], Awaitable[Value]], seconds: float | None = None) -> Value:
        """Await something on the loop and return its value or raise its error. An interrupt cancels it.

        Raises:
            OutOfTime: the seconds have passed; what was awaited is cancelled.
            AdapterError: the loop was closed, or this is the loop's own thread, which would wait for itself.
        """
        if threading.current_thread() is self._loop.thread:
            raise AdapterError(f"adapter {self._name!r} was called from within its own event loop; await it there")
        waiting = self._begin(_error_as_value(question))
        try:
            value, error = self._outcome(waiting, seconds)
        finally:
            self._end(waiting)
        if error is not None:
            raise error
        return value  # type: ignore[no-any-return]

    async def wait_from_task(self, question: Callable[[], Awaitable[Value]], until: float | None = None) -> Value:
        """As `wait`, from a task of another event loop, until the time ``until``. Cancelling the task cancels it.

        Raises:
            OutOfTime: that time has come; what was awaited is cancelled.
            AdapterError: the loop was closed.
        """
        ended = running().signal()
        waiting = self._begin(_error_as_value(question), ended.ring)
        try:
            await ended.wait(until)
            value, error = self._outcome(waiting)
        finally:
            self._end(waiting)
        if error is not None:
            raise error
        return value  # type: ignore[no-any-return]

    def _outcome(self, waiting: _Call, seconds: float | None = None) -> tuple[Any, BaseException | None]:
        if not waiting.done and not waiting.bell.heard(seconds):
            raise OutOfTime
        if waiting.outcome is None:
            raise AdapterError(f"adapter {self._name!r} was closed during a call")
        return waiting.outcome

    def _end(self, waiting: _Call) -> None:
        waiting.cancel()
        self._waiting.discard(waiting)

    def _begin(self, question: Any, told: Callable[[], None] | None = None) -> _Call:
        """A call of the coroutine. Raises `AdapterError` once the access or the loop has ended."""
        with _guard:
            if self._dropped.alive and self._loop.open:
                waiting = self._loop.call(question, told)
                self._waiting.add(waiting)
                waiting.begin()
                return waiting
        question.close()
        raise AdapterError(f"adapter {self._name!r} is closed")


class _Call:
    """A coroutine on the loop, and who waits for it. Not a `concurrent.futures.Future`: see `decodekit.threads`.

    Args:
        question: the coroutine of a value and an error.
        loop: where it runs.
        told: called when it is done, beside the bell.
        ended: called when it has ended, on the loop's thread.

    Attributes:
        outcome: the value and the error; None where it was cancelled.
        done: whether it has ended or was cancelled.
        bell: rung then.
    """

    def __init__(
        self,
        question: Any,
        loop: asyncio.AbstractEventLoop,
        told: Callable[[], None] | None,
        ended: Callable[[], None],
    ) -> None:
        self._question, self._loop, self._told, self._when_ended = question, loop, told, ended
        self._task: asyncio.Task[Any] | None = None
        self.outcome: tuple[Any, BaseException | None] | None = None
        self.done, self.bell = False, Bell()

    def begin(self) -> None:
        """Have it run."""
        self._loop.call_soon_threadsafe(self._start)

    def _start(self) -> None:
        self._task = self._loop.create_task(self._question)
        self._task.add_done_callback(self._ended)
        if self.done:
            self._task.cancel()

    def cancel(self) -> None:
        """Wait for it no more, and end it. Nothing, where it is done."""
        if self.done:
            return
        self._tell()
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._cancel_task)

    def _cancel_task(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled():
            self.outcome = task.result()
        self._tell()
        self._when_ended()

    def _tell(self) -> None:
        self.done = True
        self.bell.ring()
        if self._told is not None:
            self._told()


class _Loop:
    """A loop, its thread, and the number of its users. It refers to no user and no adapter: they can be collected."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.open = True
        self._users = self._casual_users = 0
        self._calls: WeakSet[_Call] = WeakSet()
        self._ends = False  # whether the loop stops after the last of these calls
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._loop = self._runner.get_loop()
        self.thread = threading.Thread(target=self._serve, name="decodekit-adapter", daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        with self._runner:  # on the way out it cancels what still runs and closes the loop
            self._loop.run_forever()

    def call(self, question: Any, told: Callable[[], None] | None) -> _Call:
        """A call that begins next. The loop is open, and stays so because the caller holds the guard."""
        call = _Call(question, self._loop, told, self._ended)
        self._calls.add(call)
        return call

    def _ended(self) -> None:
        with _guard:
            if self._ends and self.open and not self._asked:
                self.stop()

    @property
    def _asked(self) -> bool:
        """Whether somebody waits for a call. One that was interrupted before it began is collected."""
        return any(not call.done for call in list(self._calls))

    def enter(self, casual: bool) -> None:
        """Add one user."""
        self._casual_users += casual
        self._users += not casual
        self._ends = self._ends and casual

    def leave(self, casual: bool) -> bool:
        """Remove one user. Returns whether the loop stops now: after the last user, once no call is waited for."""
        with _guard:
            self._casual_users -= casual
            self._users -= not casual
            if not self.open or self._users or (casual and self._casual_users):
                return False
            self._ends = True
            if self._asked:
                return False
            self.stop()
            return True

    def dropped(self, casual: bool) -> None:
        """Remove one user that was garbage-collected. This may run in any thread, so it does not wait."""
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
        """Wait until the thread has ended, unless this is that thread."""
        if threading.current_thread() is not self.thread:
            self.thread.join()


_guard = threading.Lock()  # a loop gets no new call once it is stopping
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


@after_fork
def _forget_loops() -> None:
    """In a forked process: threads are gone, and locks they held stay locked.

    The parent's loops are kept but never used: closing one would close file descriptors that the parent waits on.
    """
    global _guard, _loops, _all
    _of_the_parent.extend(_all)
    _guard, _loops, _all = threading.Lock(), WeakKeyDictionary(), WeakSet()


def _end_all() -> None:
    """At the end of the process, while tasks can still be cancelled."""
    for loop in [each for each in _all if each.open]:
        loop.stop()
        loop.join()


atexit.register(_end_all)


async def _error_as_value(question: Callable[[], Awaitable[Value]]) -> tuple[Any, BaseException | None]:
    """The value and the error: a KeyboardInterrupt raised in a task would end the loop while the caller waits."""
    try:
        return await question(), None
    except BaseException as error:
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise
        return None, error
