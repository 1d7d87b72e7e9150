"""How far two distributions lie apart, in nats. All of them need both sides complete, or raise `Undisclosed`."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from decodekit.distribution.partly_hidden import PartlyHidden

__all__ = ["expected_gap", "js", "kl", "tv"]


def kl(p: PartlyHidden, q: PartlyHidden) -> float:
    """``sum(p * (log p - log q))``; inf where p has probability and q has none."""
    p._require_complete("a divergence")
    q._require_complete("a divergence")
    if p is q:
        return 0.0
    factor = p._factor_from(q)
    if factor is not None:  # the mean score under p settles it, and p's entropy knows how far that is below the largest
        below, above = p._sums[1], p._max_score / factor - q._max_score
        return max(0.0, below * (1 - 1 / factor) - above - p._log_total + q._log_total)
    if p._ids is None and q._ids is None and len(p._row) == len(q._row):
        return _dense_kl(p, q)
    ids = p.support()
    logp = p.logprobs_of(ids)
    return max(0.0, expected_gap(logp, q.logprobs_of(ids)))


def js(p: PartlyHidden, q: PartlyHidden) -> float:
    """The mean divergence of both from their even mixture; at most log 2."""
    logp, logq = _aligned(p, q)
    middle = np.logaddexp(logp, logq) - math.log(2)
    return min(math.log(2), max(0.0, 0.5 * expected_gap(logp, middle) + 0.5 * expected_gap(logq, middle)))


def tv(p: PartlyHidden, q: PartlyHidden) -> float:
    """Half the sum of absolute differences; at most 1."""
    logp, logq = _aligned(p, q)
    return min(1.0, 0.5 * float(np.abs(np.exp(logp) - np.exp(logq)).sum()))


def _dense_kl(p: PartlyHidden, q: PartlyHidden) -> float:
    """Both rows in id order, a piece at a time."""
    total = gap = 0.0
    for (start, shifted, weights), (_, other, _) in zip(p._pieces(), q._pieces(), strict=True):
        end = start + len(shifted)
        if ((p._row[start:end] > -math.inf) & (q._row[start:end] == -math.inf)).any():
            return math.inf
        total += float(weights.sum())
        gap += float((weights * (shifted - other)).sum())
    return max(0.0, gap / total - p._log_total + q._log_total)


def _aligned(p: PartlyHidden, q: PartlyHidden) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    ids = np.union1d(p.support(), q.support())
    return p.logprobs_of(ids), q.logprobs_of(ids)


def expected_gap(logp: NDArray[np.float64], logq: NDArray[np.float64]) -> float:
    """``sum(p * (log p - log q))`` over aligned log-probabilities; inf where q has none of what p has."""
    alive = logp > -math.inf
    if (logq[alive] == -math.inf).any():
        return math.inf
    return float((np.exp(logp[alive]) * (logp[alive] - logq[alive])).sum())
