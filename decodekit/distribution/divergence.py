"""Divergences between two distributions. Both are complete: no token is undisclosed."""

from __future__ import annotations

import math

import numpy as np

from decodekit.distribution.row import Row
from decodekit.types import Floats

__all__ = ["expected_gap", "js", "kl", "tv"]


def kl(p: Row, q: Row) -> float:
    """``sum(p * (log p - log q))``; inf where p has probability and q has none."""
    if p is q:
        return 0.0
    factor = p.factor_from(q)
    if factor is not None:  # the mean score under p is enough, and p's entropy tells how far that is below the largest
        if p.offset_is_small and q.offset_is_small:
            return max(0.0, (p.max_score + p.sums[1]) * (1 - 1 / factor) - p.log_weight + q.log_weight)
        below, above = p.sums[1], p.max_score / factor - q.max_score
        return max(0.0, below * (1 - 1 / factor) - above - p.log_total + q.log_total)
    if p.ids is None and q.ids is None and len(p) == len(q):
        return _dense_kl(p, q)
    ids = p.support()
    logp = p.logprobs_of(ids)
    return max(0.0, expected_gap(logp, q.logprobs_of(ids)))


def js(p: Row, q: Row) -> float:
    """The mean divergence of both from their equal mixture; at most log 2."""
    logp, logq = _aligned(p, q)
    middle = np.logaddexp(logp, logq) - math.log(2)
    return min(math.log(2), max(0.0, 0.5 * expected_gap(logp, middle) + 0.5 * expected_gap(logq, middle)))


def tv(p: Row, q: Row) -> float:
    """Half the sum of absolute differences; at most 1."""
    logp, logq = _aligned(p, q)
    return min(1.0, 0.5 * float(np.abs(np.exp(logp) - np.exp(logq)).sum()))


def _dense_kl(p: Row, q: Row) -> float:
    """Both rows in id order, a piece at a time."""
    total = gap = 0.0
    for (start, shifted, weights), (_, other, _) in zip(p.pieces(), q.pieces(), strict=True):
        end = start + len(shifted)
        if ((p.values[start:end] > -math.inf) & (q.values[start:end] == -math.inf)).any():
            return math.inf
        total += float(weights.sum())
        gap += float((weights * (shifted - other)).sum())
    return max(0.0, gap / total - p.log_total + q.log_total)


def _aligned(p: Row, q: Row) -> tuple[Floats, Floats]:
    ids, others = p.support(), q.support()
    if p.ids is not None or q.ids is not None or not np.array_equal(ids, others):  # a union takes longer than the rest
        ids = np.union1d(ids, others)
    return p.logprobs_of(ids), q.logprobs_of(ids)


def expected_gap(logp: Floats, logq: Floats) -> float:
    """``sum(p * (log p - log q))`` over aligned log-probabilities; inf where p has probability and q has none."""
    alive = logp > -math.inf
    if (logq[alive] == -math.inf).any():
        return math.inf
    return float((np.exp(logp[alive]) * (logp[alive] - logq[alive])).sum())
