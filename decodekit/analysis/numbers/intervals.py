"""What is certain of one token in a distribution, some of which may be undisclosed; and sums of such intervals."""

from __future__ import annotations

import math

import numpy as np

from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import Interval

__all__ = ["logprob_bounds", "rank_bounds"]


def logprob_bounds(dist: Distribution, token_id: int) -> Interval:
    """An interval that certainly contains the log-probability of a token, in nats; a point where it is disclosed."""
    hidden = dist.hidden
    if hidden is None:
        value = dist.logprob(token_id)
        return Interval(value, value)
    score = dist.row.score(token_id)
    if score is None and hidden.allowed is not None and not hidden.allowed[token_id]:
        return Interval(-math.inf, -math.inf)
    normaliser = dist.bounds("log_normalizer")
    if score is not None:
        return Interval(score - normaliser.high, min(0.0, score - normaliser.low))
    tail, mass = hidden.tail(dist.row.log_weight), hidden.log_mass(dist.row.log_weight)
    most = min(0.0, mass.high if tail.max_logprob is None else min(mass.high, tail.max_logprob))
    return Interval(min(mass.low, most) if tail.count == 1 else -math.inf, most)  # the only hidden token is the tail


def rank_bounds(dist: Distribution, token_id: int) -> Interval:
    """An interval that certainly contains how many tokens are more likely; inf where their number is not known."""
    row, hidden = dist.row, dist.hidden
    score = row.score(token_id)
    if hidden is None:
        rank = float(dist.rank(token_id))
        return Interval(rank, rank)
    count = math.inf if hidden.count is None else float(hidden.count)
    if score is None:  # a hidden token is at most as likely as max_score
        before = int(np.count_nonzero(row.values > hidden.max_score))
        return Interval(float(before), len(row) + count - 1)
    rank = float(row.rank(token_id, score))
    return Interval(rank, rank if score >= hidden.max_score else rank + count)
