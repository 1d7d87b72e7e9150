"""Threads that wait for one another, and that an interrupt in one of them never stops.

`threading.Event`, `threading.Condition` and `concurrent.futures.Future` are Python code around a lock. A
KeyboardInterrupt between two opcodes of it leaves that lock taken for ever, and whoever needs it next stands still.
Here whatever a signal could cut in two is a single call in C.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from weakref import WeakSet, finalize

__all__ = ["Bell", "Job", "Worker"]


class Bell:
    """Wakes a thread that waits for it. Rung before that, or more than once, it wakes one thread once."""

    __slots__ = ("_silence",)

    def __init__(self) -> None:
        self._silence = threading.Lock()
        self._silence.acquire()

    def ring(self) -> None:
        """Wake the thread."""
        with suppress(RuntimeError):  # it was rung and is not heard yet
            self._silence.release()

    def heard(self, seconds: float | None = None) -> bool:
        """Wait until it is rung, so many seconds at most. Returns whether it was; then it is silent again."""
        limit = -1 if seconds is None else min(max(0.0, seconds), threading.TIMEOUT_MAX)
        return self._silence.acquire(timeout=limit)


class Job:
    """A function that a `Worker` runs.

    The garbage collector may call these methods, in any thread that holds any lock: `give_up` waits for nothing.

    Attributes:
        done: whether it has ended, or will never begin.
    """

    __slots__ = ("_claim", "_error", "_function", "_over", "done")

    def __init__(self, function: Callable[[], object]) -> None:
        self._function = function
        self._claim, self._over = threading.Lock(), Bell()
        self._error: BaseException | None = None
        self.done = False

    def run(self) -> None:
        """Run it, in the worker's thread."""
        if not self._claim.acquire(blocking=False):
            return
        try:
            self._function()
        except BaseException as error:
            self._error = error
        finally:
            del self._function
            self.done = True
            self._over.ring()

    def give_up(self) -> None:
        """Let it not begin, if it has not begun."""
        if self._claim.acquire(blocking=False):
            self.done = True

    def result(self) -> None:
        """Wait for its end, and raise what it raised."""
        if not self.done:
            self._over.heard()
            self._over.ring()  # for others that wait
        if self._error is not None:
            raise self._error


class Worker:
    """A thread that runs functions, one after another.

    It starts with the first function. It ends soon after the worker is garbage-collected, or with the process, which
    waits for the function that runs.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._guard = threading.Lock()
        self._jobs: SimpleQueue[Job | None] | None = None
        self._thread: threading.Thread | None = None

    def run(self, function: Callable[[], object]) -> Job:
        """Have a function run, after those that were given before. At the end of the process it is run here and now."""
        job = Job(function)
        if _ending:
            job.run()
            return job
        with self._guard:
            jobs = self._jobs or self._started()
        jobs.put(job)
        return job

    def drain(self) -> None:
        """Wait for the end of all functions that were given, unless this is the worker's own thread."""
        if self._jobs is not None and threading.current_thread() is not self._thread:
            self.run(_nothing).result()

    def _started(self) -> SimpleQueue[Job | None]:
        jobs: SimpleQueue[Job | None] = SimpleQueue()
        thread = threading.Thread(target=_work, args=(jobs,), name=self._name, daemon=True)
        try:
            thread.start()
            finalize(self, jobs.put, None).atexit = False
            self._jobs, self._thread = jobs, thread
            _all.add(self)
        except BaseException:
            jobs.put(None)
            raise
        return jobs


def _nothing() -> None:
    pass


def _work(jobs: SimpleQueue[Job | None]) -> None:
    while (job := jobs.get()) is not None:
        job.run()
        del job


_all: WeakSet[Worker] = WeakSet()
_ending: list[bool] = []  # not empty at the end of the process, where no thread can begin


def _end_all() -> None:
    """At the end of the process: native code in a daemon thread would break it down."""
    _ending.append(True)
    for worker in list(_all):
        if worker._jobs is not None and worker._thread is not None:
            worker._jobs.put(None)
            worker._thread.join()


atexit.register(_end_all)
