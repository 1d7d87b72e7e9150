"""Many callers, one adapter: their questions are merged into one call of ``predict`` per round (continuous batching).

Whoever waits drives. The first caller runs a round for itself and for those that wait already; then one of those that
still wait runs the next. A lone caller meets no thread and no queue. A round waits a little for callers that were just
answered, since they are about to ask again: a call of many rows costs a model hardly more than a call of one.

Each caller reshapes, draws and records in its own thread or task. Only ``predict`` is shared, and what callers make
together of their answers where that is cheaper (`decodekit.model.company`). So an error or an interrupt in one of them
does not touch the others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from itertools import count, islice
from threading import get_ident

from decodekit.distribution.disclosure import Disclosure
from decodekit.errors import AdapterError
from decodekit.log import OfRuns
from decodekit.model.adapter import Adapter, Answer
from decodekit.model.company import Company, SharedAnswers
from decodekit.model.loops import EventLoop, OutOfTime
from decodekit.model.prefix import Prefix
from decodekit.model.question import RoundQuestion
from decodekit.model.token_budget import TokenBudget
from decodekit.threads import Bell, Job, Worker

__all__ = ["Predict", "Rounds"]

Predict = Callable[[Adapter, Sequence[Prefix], Sequence[Disclosure]], list[Answer]]

_SHARE = 0.25  # of the time of the last call: how long a round waits for callers that were just answered
_LONGEST = 0.02  # seconds; of that wait
_LOOK = 0.1  # seconds between two looks at the lead, in case an interrupt came before somebody was woken
_AGE = 64  # how many callers that came earlier one unit of priority overtakes


_ALONE = RoundQuestion.__new__(RoundQuestion)  # leads where nobody waits: no question is made


class Rounds:
    """The rounds of one adapter, or of several that are never merged.

    Args:
        predict: asks an adapter, and checks that there is one answer per prefix. Never called twice at a time.
    """

    def __init__(self, predict: Predict) -> None:
        self._predict = predict
        self._guard = threading.RLock()  # around the leader and the list; the garbage collector may come in between
        self._leader: RoundQuestion | None = None  # the question whose thread runs a round
        self._waiting: dict[RoundQuestion, None] = {}  # in the order in which they came
        self._arrived = Bell()
        self._numbers = count()
        self._expected = 1  # callers that wait, and those that were answered in the last round
        self._seconds = 0.0  # of the last call
        self.asked = 0  # tokens: new ones of prompts, and one for each prefix
        self._thread = 0  # that runs a round
        self._budget = TokenBudget()
        self._aside = Worker("decodekit-predict")  # drives for a caller in a thread
        self._served: set[Hashable] = set()  # loops with a thread that drives their questions

    @property
    def waiting(self) -> int:
        """How many questions are not answered yet. O(questions)."""
        with self._guard:
            waiting = list(self._waiting)
        return sum(not each.done for each in waiting) + (self._leader is _ALONE)

    @property
    def crowd(self) -> int:
        """As `waiting`, or a few more: those that were answered just now. O(1)."""
        return len(self._waiting) + (self._leader is _ALONE)

    @property
    def callers(self) -> int:
        """How many callers there are: those that wait, and those that were answered in the last round."""
        return self._expected

    def ask(
        self,
        adapter: Adapter,
        prefixes: Sequence[Prefix],
        needs: Sequence[Disclosure],
        *,
        until: float | None = None,
        priority: int = 0,
        tokens: int = 0,
        caller: object = None,
    ) -> list[Answer]:
        """The answers to one caller's question, from a round that may answer others too.

        Args:
            adapter: who is asked.
            prefixes: what to continue.
            needs: what to disclose, one for each prefix.
            until: when to stop waiting for a round, on the clock of ``time.monotonic``.
            priority: a caller with a higher one goes first; a caller that has waited long overtakes it.
            tokens: how many tokens of prompts are new, at most; see `TokenBudget`.
            caller: see `RoundQuestion`.

        Raises:
            OutOfTime: no answer before ``until``.
            Exception: what ``predict`` raised for this question.
        """
        alone, answers = False, list[Answer]()
        self._refuse_circles(adapter)
        try:
            with self._guard:
                if self._leader is None and self._expected == 1 and not self._waiting:
                    self._thread = get_ident()  # before the leader: `_refuse_circles` reads them without the guard
                    alone, self._leader = True, _ALONE
            if alone:
                self.asked += tokens + len(prefixes)
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
        own = self.question(adapter, prefixes, needs, priority, tokens, caller)
        self.add(own)
        self._drive(own, until)
        return own.result()

    def _refuse_circles(self, adapter: Adapter) -> None:
        """Raises `AdapterError` where an adapter's ``predict`` asks the adapter itself: it would wait for ever."""
        if self._leader is not None and self._thread == get_ident():
            raise AdapterError(f"adapter {adapter.info.name!r} asked itself while it was computing an answer")

    @property
    def calls_take(self) -> float:
        """The seconds of the last call of ``predict``; 0.0 before the first."""
        return self._seconds

    def question(
        self,
        adapter: Adapter,
        prefixes: Sequence[Prefix],
        needs: Sequence[Disclosure],
        priority: int,
        tokens: int = 0,
        caller: object = None,
    ) -> RoundQuestion:
        """A caller's question, which does not wait yet. The arguments are those of `ask`."""
        return RoundQuestion(adapter, prefixes, needs, next(self._numbers) - _AGE * priority, tokens, caller)

    def add(self, own: RoundQuestion) -> None:
        """Have a question answered in a round, once somebody drives it."""
        with self._guard:
            self._waiting[own] = None
        self._arrived.ring()

    def give_up(self, own: RoundQuestion) -> None:
        """Its caller waits no more."""
        if not own.done:
            self._remove(own)
            own.end([])  # for the thread that drives it

    # -- who drives ---------------------------------------------------------------------------------------------------

    def _drive(self, own: RoundQuestion, until: float | None = None) -> None:
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
                        self._thread = get_ident()
                        self._leader = own
                if self._leader is own:
                    self._round()
                    with self._guard:
                        self._leader = None
                    led = True
                elif own.woken is None:
                    own.woken = Bell()
                    own.begin()  # then look again: the lead may have become free before
                else:
                    left = _LOOK if until is None else min(_LOOK, until - time.monotonic())
                    if left <= 0:
                        raise OutOfTime
                    own.woken.heard(left)
        finally:
            with self._guard:
                if self._leader is own:
                    self._leader = None
            if self._waiting:
                self._remove(own)
                self._wake()

    def drive_aside(self, own: RoundQuestion, until: float | None) -> Job:
        """Have a worker thread drive a question."""
        return self._aside.run(lambda: self._drive_for(own, until))

    def drain(self) -> None:
        """Wait until the worker thread has ended its calls."""
        self._aside.drain()

    def serve_tasks_of(self, loop: EventLoop) -> None:
        """Have a worker thread of this loop drive the questions of its tasks, unless one does."""
        with self._guard:
            if loop.key in self._served:
                return
            self._served.add(loop.key)
        try:
            loop.start(lambda: self._serve(loop.key))
        except BaseException:
            self._served.discard(loop.key)
            raise

    def _serve(self, home: Hashable) -> None:
        while True:
            with self._guard:
                own = next((each for each in list(self._waiting) if each.home is home), None)
                if own is None:
                    self._served.discard(home)
                    return
            self._drive_for(own)

    def _drive_for(self, own: RoundQuestion, until: float | None = None) -> None:
        """As `_drive`, in a worker thread: the caller raises what is raised here."""
        try:
            self._drive(own, until)
        except BaseException as error:
            own.end([], error)
        if not own.told:  # an interrupt came in the thread that answered it
            own.tell()

    def _wake(self) -> None:
        """Wake a thread that can run the next round."""
        with self._guard:
            woken = next((each.woken for each in list(self._waiting) if each.woken is not None and not each.done), None)
        if woken is not None:
            woken.ring()

    # -- one round ----------------------------------------------------------------------------------------------------

    def _round(self) -> None:
        """Answer those that wait, as many as fit. Who is not answered still waits afterwards."""
        if len(self._waiting) < self._expected:
            self._linger()
        batch, left_out = self._next_batch()
        if not batch:
            return
        self._expected = max(len(self._waiting), 1)  # before one of them is told, who may look
        self.asked += sum(each.tokens + len(each.prefixes) for each in batch)
        started = time.perf_counter()
        self._answer(batch)
        self._seconds = time.perf_counter() - started
        self._budget.took(sum(each.tokens for each in batch), self._seconds, left_out=left_out)
        with self._guard:
            for each in batch:
                if each.done:
                    self._waiting.pop(each, None)
            self._expected = len(batch) + len(self._waiting)

    def _linger(self) -> None:
        """Wait for callers that were answered in the last round: they ask again soon, or have ended."""
        until = time.perf_counter() + min(_LONGEST, _SHARE * self._seconds)
        while (left := until - time.perf_counter()) > 0:
            self._arrived.heard(0)
            if len(self._waiting) >= self._expected or not self._arrived.heard(left):
                return

    def _next_batch(self) -> tuple[list[RoundQuestion], bool]:
        """The callers of the next round: in order, as many as have room, at least one. They stay in the list.

        Returns:
            The callers, and whether the tokens of a prompt had no room.
        """
        with self._guard:
            waiting = list(self._waiting)
        if len(waiting) <= 1:
            return waiting, False
        first, *others = sorted(waiting, key=lambda each: each.place)
        batch, left_out = [first], False
        rows, tokens = first.adapter.info.concurrency - len(first.prefixes), self._budget.tokens - first.tokens
        for each in others:
            if rows <= 0:
                break
            if each.adapter is not first.adapter or len(each.prefixes) > rows:
                continue
            if each.tokens > max(0, tokens):
                left_out = True
                continue
            batch.append(each)
            rows -= len(each.prefixes)
            tokens -= each.tokens
        return batch, left_out

    def _answer(self, batch: list[RoundQuestion]) -> None:
        first = batch[0]
        for each in batch:
            each.begin()
        try:
            if len(batch) == 1:
                with OfRuns(first.runs):
                    first.end(self._predict(first.adapter, first.prefixes, first.needs))
                return
            prefixes = [prefix for each in batch for prefix in each.prefixes]
            needs = [need for each in batch for need in each.needs]
            with OfRuns(dict.fromkeys(run for each in batch for run in each.runs)):
                answers = self._predict(first.adapter, prefixes, needs)
        except Exception as error:
            if len(batch) == 1:
                first.end([], error)
                return
            for each in batch:  # one of them may be the cause
                if not each.done:  # it was not given up meanwhile
                    self._answer([each])
            return
        company = Company()
        rest = iter(answers)
        shares = [list(islice(rest, len(each.prefixes))) for each in batch]
        for each, own in zip(batch, shares, strict=True):
            if each.caller is not None:
                company.add(each.caller, own)
        for each, own in zip(batch, shares, strict=True):
            each.end(own if each.caller is None else SharedAnswers(own, company))

    # -- the list -----------------------------------------------------------------------------------------------------

    def _remove(self, own: RoundQuestion) -> None:
        with self._guard:
            self._waiting.pop(own, None)
