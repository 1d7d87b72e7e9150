"""How far the distributions of two traces are apart in steps that have the same token."""

from __future__ import annotations

import numpy as np

from decodekit.trace.differences.parts import Before
from decodekit.trace.differences.stages import Stages
from decodekit.trace.step import Step

__all__ = ["Drifting"]


class Drifting:
    """Sums up the steps of two sequences, in order.

    Args:
        stages: compares one step.
    """

    def __init__(self, stages: Stages) -> None:
        self._stages = stages
        self._steps = self._compared = self._rank_changes = 0
        self._sum = 0.0
        self._max: tuple[float, int] | None = None
        self._tv: tuple[float | None, float | None] = (None, None)
        self._first: tuple[int, str] | None = None

    def add(self, a: Step, b: Step) -> None:
        """The next step of both."""
        at = self._steps
        self._steps += 1
        ranks = a.choice.rank, b.choice.rank
        self._rank_changes += None not in ranks and ranks[0] != ranks[1]
        final = self._stages.final(a, b)
        if final is None:
            return
        if final.drift is not None:
            self._compared += 1
            self._sum += final.drift
            if self._max is None or final.drift > self._max[0]:
                self._max = final.drift, at
        self._tv = _larger(self._tv[0], final.tv_low), _larger(self._tv[1], final.tv_high)
        if self._first is None:
            name = self._first_stage(a, b) or _beside_stages(a, b, self._stages.one_seed)
            self._first = None if name is None else (at, name)

    def _first_stage(self, a: Step, b: Step) -> str | None:
        if _equal(a, b):
            return None
        stages = self._stages.of(a, b)  # a stage that only one chain has differs too
        return next((stage.name for stage in stages if stage.same is False or not stage.in_both), None)

    def summary(self) -> Before:
        """The steps so far."""
        largest, at = self._max or (None, None)
        step, stage = self._first or (None, None)
        return Before(
            steps=self._steps, compared=self._compared, max_drift=largest,
            mean_drift=self._sum / self._compared if self._compared else None, max_at=at,
            max_tv_low=self._tv[0], max_tv_high=self._tv[1], rank_changes=self._rank_changes,
            first_step=step, first_stage=stage,
        )  # fmt: skip


def _equal(a: Step, b: Step) -> bool:
    """Whether all numbers before the draw are equal to the last bit."""
    if a.raw != b.raw or a.entries != b.entries or (a.evidence is None) != (b.evidence is None):
        return False
    if a.evidence is None or b.evidence is None:
        return True
    same = np.array_equal(a.evidence.token_ids, b.evidence.token_ids)
    return same and np.array_equal(a.evidence.scores, b.evidence.scores) and a.evidence.floor == b.evidence.floor


def _beside_stages(a: Step, b: Step, one_seed: bool) -> str | None:
    """What else differs of two steps with the same token: 'text', 'draw' or 'choice'; None for nothing."""
    if a.text != b.text:
        return "text"
    if a.draw != b.draw:
        return "draw" if one_seed and a.stream == b.stream else None
    return "choice" if _equal(a, b) and a.choice != b.choice else None


def _larger(one: float | None, other: float | None) -> float | None:
    return one if other is None else other if one is None else max(one, other)
