"""Intervals that are sure to hold a value, whatever the undisclosed tokens of a head are."""

from __future__ import annotations

import math

import numpy as np

from decodekit.distribution.disclosure import Interval, Tail
from decodekit.distribution.partly_hidden import PartlyHidden
from decodekit.errors import ParameterError

__all__ = ["bounds_of"]


def bounds_of(dist: PartlyHidden, name: str) -> Interval:
    """See `Distribution.bounds`."""
    if name not in ("entropy", "varentropy", "log_normalizer", "tail_mass"):
        raise ParameterError(f"bounds({name!r}): the names are entropy, varentropy, log_normalizer and tail_mass")
    if dist._hidden is None or (name == "entropy" and dist._knows_entropy):
        value = 0.0 if name == "tail_mass" else getattr(dist, name)
        return Interval(value, value)
    tail = dist.tail
    assert tail is not None
    if name == "tail_mass":
        return Interval(tail.mass_low, tail.mass_high)
    if name == "log_normalizer":
        if dist._log_z is not None:
            return Interval(dist._log_z, dist._log_z)
        assert dist._hidden is not None
        low, high = (
            float(np.logaddexp(dist._log_head, part)) for part in (dist._hidden.log_low, dist._hidden.log_high)
        )
        return Interval(low, high)
    first = _surprisal_moment(dist, tail, 1)
    if name == "entropy":
        return first
    second = _surprisal_moment(dist, tail, 2)
    return Interval(max(0.0, second.low - first.high**2), max(0.0, second.high - first.low**2))


def _surprisal_moment(dist: PartlyHidden, tail: Tail, power: int) -> Interval:
    """Bounds on the mean of ``surprisal ** power``: the head's part plus the tail's, each over the mass interval."""
    low, high = _head_part(dist, tail, power)
    most = math.log(tail.mass_high) if tail.mass_high > 0 else -math.inf
    least_surprisal = max(0.0, -(most if tail.max_logprob is None else min(tail.max_logprob, most)))
    low += tail.mass_low * least_surprisal**power
    if tail.mass_high == 0:
        return Interval(low, high)
    if tail.count is None:
        return Interval(low, math.inf)
    # x * log(1/x) ** power rises up to x = exp(-power): evenly spread mass has the largest mean below that point.
    each = min(tail.mass_high / tail.count, math.exp(-power))
    return Interval(low, high + tail.count * each * math.log(1 / each) ** power)


def _head_part(dist: PartlyHidden, tail: Tail, power: int) -> Interval:
    """The disclosed tokens' share of the mean, over the interval of the head's own mass."""
    alive = dist.scores > -math.inf
    shape = dist.scores[alive] - dist._log_head  # log-probabilities within the head
    weights = np.exp(shape)
    if dist._log_z is not None:
        surprisal = np.maximum(-(shape + dist._log_head - dist._log_z), 0.0)
        value = float((np.exp(-surprisal) * surprisal**power).sum())
        return Interval(value, value)
    low = high = 0.0
    peak = math.exp(-power)
    for weight in weights.tolist():
        # One token's probability runs over [a, b], and x * log(1/x) ** power rises to its peak, then falls.
        a, b = weight * (1 - tail.mass_high), min(weight * (1 - tail.mass_low), 1.0)
        ends = [x * (-math.log(x)) ** power if x > 0 else 0.0 for x in (a, b)]
        low += min(ends)
        high += peak * power**power if a <= peak <= b else max(ends)
    return Interval(low, high)
