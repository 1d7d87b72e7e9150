"""Two sequences read alongside each other, up to the first step where they part."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from hashlib import blake2b
from itertools import zip_longest

from decodekit.trace.differences.drifting import Drifting
from decodekit.trace.differences.pairing import Pair
from decodekit.trace.differences.stages import Stages
from decodekit.trace.opened import Opened
from decodekit.trace.step import Step

__all__ = ["Lane", "read_alongside"]

A, B = 0, 1


class Lane:
    """Follows a pair. Of its steps only those are kept whose partner was not read yet, and those where they part.

    Args:
        pair: the two streams.
        stages: compares one step.
        ids_agree: whether an id means the same token in both; otherwise the texts of the tokens are compared.

    Attributes:
        counts: the tokens of each.
        last: the last token of each; None before the first.
        parted: the steps where the tokens differ; None where they do not.
        other_id: the first step that has the same text under another id; None without.
        drifting: sums up the steps before.
    """

    def __init__(self, pair: Pair, stages: Stages, *, ids_agree: bool) -> None:
        self.pair, self._ids_agree = pair, ids_agree
        self.counts = [0, 0]
        self.last: list[int | None] = [None, None]
        self.parted: tuple[Step, Step] | None = None
        self.other_id: int | None = None
        self.drifting = Drifting(stages)
        self._waiting: tuple[deque[Step], deque[Step]] = (deque(), deque())
        self._texts, self._has_text = (blake2b(digest_size=16), blake2b(digest_size=16)), False
        self._over = [False, False]

    @property
    def surplus(self) -> tuple[int, Step] | None:
        """The side that goes on where the other has ended, and its first step there; None where they end together."""
        if self.parted is not None:
            return None
        return next(((side, steps[0]) for side, steps in enumerate(self._waiting) if steps), None)

    @property
    def same_text(self) -> bool | None:
        """Whether the texts are equal; None where none is recorded."""
        return self._texts[A].digest() == self._texts[B].digest() if self._has_text else None

    def take(self, side: int, step: Step) -> None:
        """The next step of one side."""
        self.counts[side] += 1
        self.last[side] = step.token_id
        self._texts[side].update(step.text.encode("utf-8", "surrogatepass"))
        self._has_text = self._has_text or bool(step.text)
        waiting, others = self._waiting[side], self._waiting[1 - side]
        if self.parted is not None or (waiting and self._over[1 - side]):
            return  # nothing comes to meet it, and one is kept
        waiting.append(step)
        if others:
            self._meet(self._waiting[A].popleft(), self._waiting[B].popleft())

    def end(self, side: int) -> None:
        """No more steps come of this side."""
        self._over[side] = True
        if not self._waiting[side]:
            while len(self._waiting[1 - side]) > 1:
                self._waiting[1 - side].pop()

    def _meet(self, a: Step, b: Step) -> None:
        if (a.token_id == b.token_id) if self._ids_agree else (a.text == b.text):
            if a.token_id != b.token_id and self.other_id is None:
                self.other_id = a.index
            self.drifting.add(a, b)
        else:
            self.parted = a, b
            for waiting in self._waiting:
                waiting.clear()


def read_alongside(a: Opened, b: Opened, lanes: Iterable[Lane]) -> None:
    """Read both traces once, a step of each in turn: in bounded memory, if both have their sequences in one order."""
    lanes = list(lanes)
    of_a, of_b = {lane.pair.a: lane for lane in lanes}, {lane.pair.b: lane for lane in lanes}
    over = [False, False]
    for steps in zip_longest(a.steps(), b.steps()):
        for side, (step, known) in enumerate(zip(steps, (of_a, of_b), strict=True)):
            if step is None:
                if not over[side]:
                    over[side] = True
                    for lane in lanes:
                        lane.end(side)
            elif step.stream in known:
                known[step.stream].take(side, step)
