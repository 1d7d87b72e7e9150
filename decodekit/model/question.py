"""One caller's question to an adapter, from when it is asked until it is answered."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from decodekit.distribution.disclosure import Disclosure
from decodekit.log import asking_runs
from decodekit.model.adapter import Adapter, Answer
from decodekit.model.loops import Signal
from decodekit.model.prefix import Prefix
from decodekit.threads import Bell

__all__ = ["RoundQuestion"]


class RoundQuestion:
    """A question that waits for a round; see `decodekit.model.rounds`.

    Args:
        adapter: who is asked.
        prefixes: what to continue.
        needs: what to disclose, one for each prefix.
        place: in the order of the callers; lower goes first.
        tokens: new ones of prompts, which take longer than one token of a prefix that was evaluated.
        caller: who asks, for `Company`; None for one that makes nothing of its answers together with others.

    Attributes:
        done: whether it is answered, or given up.
        woken: wakes the thread that drives it.
        begun: set when that thread computes or waits, and so leaves the interpreter to others.
        home: the event loop of the task that waits for it.
        answered: tells that task.
        told: whether all of these know that it is done.
        runs: the runs that ask, for the log.
    """

    __slots__ = (
        *("adapter", "answered", "answers", "begun", "caller", "done", "error", "home", "needs", "place", "prefixes"),
        *("runs", "tokens", "told", "woken"),
    )

    def __init__(
        self,
        adapter: Adapter,
        prefixes: Sequence[Prefix],
        needs: Sequence[Disclosure],
        place: int,
        tokens: int = 0,
        caller: object = None,
    ) -> None:
        self.adapter, self.prefixes, self.needs = adapter, prefixes, needs
        self.place, self.tokens, self.runs, self.caller = place, tokens, asking_runs(), caller
        self.answers: list[Answer] = []
        self.error: BaseException | None = None
        self.done = self.told = False
        self.woken: Bell | None = None
        self.begun: Bell | Signal | None = None
        self.home: Hashable = None
        self.answered: Callable[[], None] | None = None

    def begin(self) -> None:
        """The thread that drives it computes, or waits."""
        if self.begun is not None:
            self.begun.ring()

    def end(self, answers: list[Answer], error: BaseException | None = None) -> None:
        """Answered, or given up."""
        self.answers, self.error, self.done = answers, error, True
        self.tell()

    def tell(self) -> None:
        """Wake whoever waits for it. Twice does no harm."""
        self.begin()
        if self.woken is not None:
            self.woken.ring()
        if self.answered is not None:
            self.answered()
        self.told = True

    def result(self) -> list[Answer]:
        """The answers. Raises the error that came in their place."""
        if self.error is not None:
            raise self.error
        return self.answers
