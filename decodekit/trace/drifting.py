"""How far the distributions of two traces are apart in steps that have the same token."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from decodekit.trace.difference_parts import Before, StageDifference
from decodekit.trace.stage_diff import Stages
from decodekit.trace.step import Step

__all__ = ["drift_before"]


def drift_before(stages: Stages, a: Sequence[Step], b: Sequence[Step]) -> Before:
    """The summary of these steps.

    Args:
        stages: compares one step.
        a, b: as many steps each.
    """
    drifts: dict[int, float] = {}
    low: float | None = None
    high: float | None = None
    rank_changes, first = 0, None
    for at, (one, other) in enumerate(zip(a, b, strict=True)):
        ranks = one.choice.rank, other.choice.rank
        rank_changes += None not in ranks and ranks[0] != ranks[1]
        final = stages.final(one, other)
        if final is None:
            continue
        if final.drift is not None:
            drifts[at] = final.drift
        low, high = _larger(low, final.tv_low), _larger(high, final.tv_high)
        if first is None and not _equal(one, other):
            first = _first(stages.of(one, other), at)
    worst = max(drifts, key=lambda at: drifts[at], default=None)
    return Before(
        steps=len(a), compared=len(drifts),
        max_drift=None if worst is None else drifts[worst],
        mean_drift=None if worst is None else float(np.mean(list(drifts.values()))),
        max_at=worst, max_tv_low=low, max_tv_high=high, rank_changes=rank_changes,
        first_step=None if first is None else first[0], first_stage=None if first is None else first[1],
    )  # fmt: skip


def _equal(a: Step, b: Step) -> bool:
    """Whether all numbers before the draw are equal to the last bit."""
    if a.raw != b.raw or a.entries != b.entries or (a.evidence is None) != (b.evidence is None):
        return False
    if a.evidence is None or b.evidence is None:
        return a.choice == b.choice
    same = np.array_equal(a.evidence.token_ids, b.evidence.token_ids)
    return same and np.array_equal(a.evidence.scores, b.evidence.scores) and a.evidence.floor == b.evidence.floor


def _first(stages: Sequence[StageDifference], at: int) -> tuple[int, str] | None:
    """The first stage that differs; one that only one chain has differs too."""
    found = next((stage for stage in stages if stage.same is False or not stage.in_both), None)
    return None if found is None else (at, found.name)


def _larger(one: float | None, other: float | None) -> float | None:
    return one if other is None else other if one is None else max(one, other)
