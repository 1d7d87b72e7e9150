"""Two ways to do one thing, taken in turns, and the ratio of their times with its spread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Ratio:
    """How many times faster ours is: above 1 it is faster.

    Args:
        what: what was measured.
        against: the other side.
        ours: median seconds.
        theirs: median seconds.
        low, median, high: of the ratios of neighbouring pairs (10th, 50th, 90th percentile).
        goal: what it should reach.
    """

    what: str
    against: str
    ours: float
    theirs: float
    low: float
    median: float
    high: float
    goal: float

    def line(self) -> str:
        met = "met" if self.median >= self.goal else "MISSED"
        return (
            f"| {self.what} | {self.against} | {self.ours * 1e3:.3f} | {self.theirs * 1e3:.3f} "
            f"| {self.median:.2f} ({self.low:.2f} to {self.high:.2f}) | {self.goal:g} | {met} |"
        )


HEADER = (
    "| what | against | ours, ms | theirs, ms | ratio (10th to 90th percentile of pairs) | goal | |\n"
    "| --- | --- | --- | --- | --- | --- | --- |"
)


def seconds(call: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of one call, by the wall clock or by another."""
    started = clock()
    call()
    return clock() - started


def paired(
    what: str,
    against: str,
    ours: Callable[[], object],
    theirs: Callable[[], object],
    *,
    rounds: int,
    goal: float,
    before: Callable[[], object] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Ratio:
    """Run both in turns, the order alternating, and compare neighbours. ``before`` is not timed: it prepares ours."""
    ours(), theirs()  # once to warm up

    def own() -> float:
        before()
        return seconds(ours, clock)

    return ratio_of(what, against, in_turns(own, lambda: seconds(theirs, clock), rounds), goal)


def in_turns(ours: Callable[[], float], theirs: Callable[[], float], rounds: int) -> list[tuple[float, float]]:
    """The seconds that both sides report of themselves, in pairs; the order alternates."""
    pairs = []
    for turn in range(rounds):
        if turn % 2:
            other, own = theirs(), ours()
        else:
            own, other = ours(), theirs()
        pairs.append((own, other))
    return pairs


def ratio_of(what: str, against: str, pairs: Sequence[tuple[float, float]], goal: float) -> Ratio:
    """The row of the table for these pairs of seconds."""
    ratios = sorted(other / own for own, other in pairs)
    return Ratio(
        what,
        against,
        statistics.median(own for own, _ in pairs),
        statistics.median(other for _, other in pairs),
        ratios[len(ratios) // 10],
        statistics.median(ratios),
        ratios[-1 - len(ratios) // 10],
        goal,
    )
