"""Many callers, one adapter: their questions are merged into one call of ``predict`` per round (continuous batching).

Whoever waits drives. The first caller runs a round for itself and for those that wait already; then one of those that
still wait runs the next. A lone caller meets no thread and no queue. A round waits a little for callers that were just
answered, since they are about to ask again: a call of many rows costs a model hardly more than a call of one.

Each caller reshapes, draws and records in its own thread or task; only ``predict`` is shared. So an error or an
interrupt in one of them does not touch the others.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from itertools import count

from decodekit.distribution.disclosure import Disclosure
from decodekit.errors import AdapterError
from decodekit.model.adapter import Adapter, Answer
from decodekit.model.background import OutOfTime
from decodekit.model.prefix import Prefix

__all__ = ["Ahead", "Predict", "Rounds"]

Predict = Callable[[Adapter, Sequence[Prefix], Sequence[Disclosure]], list[Answer]]

_SHARE = 0.25  # of the time of the last call: how long a round waits for callers that were just answered
_LONGEST = 0.02  # seconds; of that wait
_LOOK = 0.1  # seconds between two looks at the lead, in case an interrupt came before somebody was woken
_AGE = 64  # how many callers that came earlier one unit of priority overtakes


class _Question:
    """One caller's question until it is answered."""

    __slots__ = (
        *("adapter", "answered", "answers", "begun", "done", "error", "loop", "needs", "place", "prefixes", "woken"),
    )

    def __init__(self, adapter: Adapter, prefixes: Sequence[Prefix], needs: Sequence[Disclosure], place: int) -> None:
        self.adapter, self.prefixes, self.needs = adapter, prefixes, needs
        self.place = place  # in the order of the callers; lower goes first
        self.answers: list[Answer] = []
        self.error: BaseException | None = None
        self.done = False
        self.woken: threading.Event | None = None  # of the thread that drives it
        self.begun: threading.Event | None = None  # set when that thread computes or waits, and leaves the others alone
        self.loop: asyncio.AbstractEventLoop | None = None  # of the task that waits for it
        self.answered: Callable[[], None] | None = None  # tells that task

    def begin(self) -> None:
        """The thread that drives it computes, or waits."""
        if self.begun is not None:
            self.begun.set()

    def end(self, answers: list[Answer], error: BaseException | None = None) -> None:
        """Answered, or given up."""
        self.answers, self.error, self.done = answers, error, True
        self.begin()
        if self.woken is not None:
            self.woken.set()
        if self.answered is not None:
            self.answered()


_ALONE = _Question.__new__(_Question)  # leads where nobody waits: no question is made


class Rounds:
    """The rounds of one adapter, or of several that are never merged.

    Args:
        predict: asks an adapter, and checks that there is one answer per prefix. Never called twice at a time.
    """

    def __init__(self, predict: Predict) -> None:
        self._predict = predict
        self._guard = threading.Lock()  # around the leader and the list
        self._leader: _Question | None = None  # the question whose thread runs a round
        self._waiting: list[_Question] = []
        self._arrived = threading.Event()
        self._numbers = count()
        self._expected = 1  # callers that wait, and those that were answered in the last round
        self._seconds = 0.0  # of the last call
        self._aside: ThreadPoolExecutor | None = None  # asks ahead
        self._served: set[asyncio.AbstractEventLoop] = set()  # loops with a thread that drives their questions

    @property
    def waiting(self) -> int:
        """How many questions are not answered yet."""
        return sum(not each.done for each in self._waiting) + (self._leader is _ALONE)

    def ask(
        self,
        adapter: Adapter,
        prefixes: Sequence[Prefix],
        needs: Sequence[Disclosure],
        *,
        until: float | None = None,
        priority: int = 0,
    ) -> list[Answer]:
        """The answers to one caller's question, from a round that may answer others too.

        Args:
            adapter: who is asked.
            prefixes: what to continue.
            needs: what to disclose, one for each prefix.
            until: when to stop waiting for a round, on the clock of ``time.monotonic``.
            priority: a caller with a higher one goes first; a caller that has waited long overtakes it.

        Raises:
            OutOfTime: no answer before ``until``.
            Exception: what ``predict`` raised for this question.
        """
        alone, answers = False, list[Answer]()
        try:
            with self._guard:
                if self._leader is None and self._expected == 1 and not self._waiting:
                    alone, self._leader = True, _ALONE
            if alone:
                started = time.perf_counter()
                answers = self._predict(adapter, prefixes, needs)
                self._seconds = time.perf_counter() - started
        finally:
            if alone:
                with self._guard:
                    self._leader = None  # first: `len` is a place where an interrupt can come
                    self._expected = 1 + len(self._waiting)
                if self._waiting:
                    self._wake()
        if alone:
            return answers
        own = _Question(adapter, prefixes, needs, next(self._numbers) - _AGE * priority)
        self._add(own)
        self._drive(own, until)
        return _result(own)

    def ahead(
        self,
        adapter: Adapter,
        prefixes: Sequence[Prefix],
        needs: Sequence[Disclosure],
        *,
        until: float | None = None,
        priority: int = 0,
    ) -> Ahead:
        """As `ask`, in two parts: a worker thread asks, and the caller does something else until it needs the answers.

        Begun and ended in about 0.1 ms, which pays only where a call takes long: see `calls_take`.
        """
        own = _Question(adapter, prefixes, needs, next(self._numbers) - _AGE * priority)
        own.begun = threading.Event()
        return Ahead(self, own, until)

    @property
    def calls_take(self) -> float:
        """The seconds of the last call of ``predict``; 0.0 before the first."""
        return self._seconds

    async def ask_from_task(
        self,
        adapter: Adapter,
        prefixes: Sequence[Prefix],
        needs: Sequence[Disclosure],
        *,
        until: float | None = None,
        priority: int = 0,
    ) -> list[Answer]:
        """As `ask`, from a task: a worker thread of its event loop drives. Cancelling gives the question up."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()

        def answered() -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(ended.set)

        own = _Question(adapter, prefixes, needs, next(self._numbers) - _AGE * priority)
        own.loop, own.answered = loop, answered
        self._add(own)
        try:
            self._serve_tasks_of(loop)
            async with asyncio.timeout(None if until is None else max(0.0, until - time.monotonic())):
                await ended.wait()
        except TimeoutError:
            raise OutOfTime from None
        finally:
            if not own.done:
                self._remove(own)
                own.end([])  # for the thread that drives it
        return _result(own)

    # -- who drives ---------------------------------------------------------------------------------------------------

    def _drive(self, own: _Question, until: float | None = None) -> None:
        """Run rounds, or wait while another thread does, until this question is answered.

        What takes and gives up the lead is written out here: a function call is a place where an interrupt can come.
        """
        led = False  # a round in which others were answered
        try:
            while not own.done:
                if led and until is not None and time.monotonic() >= until:
                    raise OutOfTime
                with self._guard:
                    if self._leader is None:
                        self._leader = own
                if self._leader is own:
                    self._round()
                    with self._guard:
                        self._leader = None
                    led = True
                elif own.woken is None:
                    own.woken = threading.Event()
                    own.begin()  # then look again: the lead may have become free before
                else:
                    left = _LOOK if until is None else min(_LOOK, until - time.monotonic())
                    if left <= 0:
                        raise OutOfTime
                    own.woken.wait(left)
                    own.woken.clear()
        finally:
            with self._guard:
                if self._leader is own:
                    self._leader = None
            if self._waiting:
                self._remove(own)
                self._wake()

    def _serve_tasks_of(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have a worker thread of this loop drive the questions of its tasks, unless one does."""
        with self._guard:
            if loop in self._served:
                return
            self._served.add(loop)
        try:
            loop.run_in_executor(None, self._serve, loop)
        except BaseException:
            self._served.discard(loop)
            raise

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            with self._guard:
                own = next((each for each in self._waiting if each.loop is loop), None)
                if own is None:
                    self._served.discard(loop)
                    return
            self._drive_for(own)

    def _drive_for(self, own: _Question, until: float | None = None) -> None:
        """As `_drive`, in a worker thread: the caller raises what is raised here."""
        try:
            self._drive(own, until)
        except BaseException as error:
            own.end([], error)

    def _begin(self, own: _Question, until: float | None) -> Future[None]:
        """Have a worker thread ask, and wait until it needs the interpreter no more than another thread does."""
        if self._aside is None:
            self._aside = ThreadPoolExecutor(1, "decodekit-predict")
        self._add(own)
        future = self._aside.submit(self._drive_for, own, until)
        assert own.begun is not None
        own.begun.wait()
        return future

    def _wake(self) -> None:
        """Wake a thread that can run the next round."""
        with self._guard:
            woken = next((each.woken for each in self._waiting if each.woken is not None and not each.done), None)
        if woken is not None:
            woken.set()

    # -- one round ----------------------------------------------------------------------------------------------------

    def _round(self) -> None:
        """Answer those that wait, as many as fit. Who is not answered still waits afterwards."""
        if len(self._waiting) < self._expected:
            for each in self._waiting:
                each.begin()
            self._linger()
        batch = self._next_batch()
        if not batch:
            return
        started = time.perf_counter()
        self._answer(batch)
        self._seconds = time.perf_counter() - started
        with self._guard:
            self._waiting = [each for each in self._waiting if not each.done]
            self._expected = len(batch) + len(self._waiting)

    def _linger(self) -> None:
        """Wait for callers that were answered in the last round: they ask again soon, or have ended."""
        until = time.perf_counter() + min(_LONGEST, _SHARE * self._seconds)
        while (left := until - time.perf_counter()) > 0:
            self._arrived.clear()
            if len(self._waiting) >= self._expected or not self._arrived.wait(left):
                return

    def _next_batch(self) -> list[_Question]:
        """The callers of the next round: in order, as many as have room, at least one. They stay in the list."""
        with self._guard:
            waiting = list(self._waiting)
        if len(waiting) <= 1:
            return waiting
        first, *others = sorted(waiting, key=lambda each: each.place)
        batch, room = [first], first.adapter.info.concurrency - len(first.prefixes)
        for each in others:
            if each.adapter is first.adapter and len(each.prefixes) <= room:
                batch.append(each)
                room -= len(each.prefixes)
        return batch

    def _answer(self, batch: list[_Question]) -> None:
        first = batch[0]
        for each in batch:
            each.begin()
        try:
            if len(batch) == 1:
                first.end(self._predict(first.adapter, first.prefixes, first.needs))
                return
            prefixes = [prefix for each in batch for prefix in each.prefixes]
            needs = [need for each in batch for need in each.needs]
            answers = self._predict(first.adapter, prefixes, needs)
        except Exception as error:
            if len(batch) == 1:
                first.end([], error)
                return
            for each in batch:  # one of them may be the cause
                self._answer([each])
            return
        start = 0
        for each in batch:
            end = start + len(each.prefixes)
            each.end(answers[start:end])
            start = end

    # -- the list -----------------------------------------------------------------------------------------------------

    def _add(self, own: _Question) -> None:
        with self._guard:
            self._waiting.append(own)
        self._arrived.set()

    def _remove(self, own: _Question) -> None:
        with self._guard:
            self._waiting = [each for each in self._waiting if each is not own]


class Ahead:
    """A question that a worker thread asks; see `Rounds.ahead`. A fork cannot go on with it."""

    def __init__(self, rounds: Rounds, own: _Question, until: float | None) -> None:
        self._rounds, self._own, self._until = rounds, own, until
        self._future: Future[None] | None = None
        self._process = os.getpid()

    def begin(self) -> None:
        """Ask. Returns when the thread that asks leaves the interpreter to others, as far as it does."""
        self._future = self._rounds._begin(self._own, self._until)

    def answers(self) -> list[Answer]:
        """Wait for the answers. Raises as `Rounds.ask`."""
        if self._process != os.getpid():
            raise AdapterError("this process is a fork, and the model was asked before it: start the call again here")
        assert self._future is not None
        wait([self._future])
        return _result(self._own)

    def give_up(self) -> None:
        """Forget the question. A call that has begun is waited for, so that the adapter may be closed afterwards."""
        if not self._own.done:
            self._rounds._remove(self._own)
            self._own.end([])
        if self._future is not None and self._process == os.getpid():
            wait([self._future])


def _result(own: _Question) -> list[Answer]:
    if own.error is not None:
        raise own.error
    return own.answers
