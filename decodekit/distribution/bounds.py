"""Intervals that certainly contain a value, whatever the undisclosed tokens of a head are."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from decodekit.distribution.disclosure import Interval, Tail
from decodekit.distribution.heads import log_normalizer
from decodekit.distribution.hidden import Hidden
from decodekit.distribution.row import Row
from decodekit.errors import ParameterError

__all__ = ["Quantity", "bounds_of", "surprisal_of_shown"]

Quantity = Literal["entropy", "varentropy", "log_normalizer", "tail_mass"]


def bounds_of(row: Row, hidden: Hidden | None, name: Quantity) -> Interval:
    """See `Distribution.bounds`."""
    if name not in ("entropy", "varentropy", "log_normalizer", "tail_mass"):
        raise ParameterError(f"bounds({name!r}): the names are entropy, varentropy, log_normalizer and tail_mass")
    if hidden is None:
        value = _value(row, name)
        return Interval(value, value)
    tail = hidden.tail(row.log_weight)
    if name == "tail_mass":
        return Interval(tail.mass_low, tail.mass_high)
    if name == "log_normalizer":
        return log_normalizer(row, hidden)
    if name == "entropy" and hidden.entropy is not None:
        return Interval(hidden.entropy, hidden.entropy)
    mean = _surprisal_moment(row, hidden, tail, 1)
    if name == "entropy":
        return mean
    square = _surprisal_moment(row, hidden, tail, 2)
    return Interval(max(0.0, square.low - mean.high**2), max(0.0, square.high - mean.low**2))


def _value(row: Row, name: Quantity) -> float:
    """The value where no token is hidden."""
    if name == "tail_mass":
        return 0.0
    if name == "log_normalizer":
        return row.log_weight
    return row.entropy if name == "entropy" else row.varentropy


def _surprisal_moment(row: Row, hidden: Hidden, tail: Tail, power: int) -> Interval:
    """Bounds on the mean of ``surprisal ** power``: the head's part plus the tail's, each over the mass interval."""
    low, high = surprisal_of_shown(row, hidden, tail, power)
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


def surprisal_of_shown(row: Row, hidden: Hidden, tail: Tail, power: int) -> Interval:
    """The disclosed tokens' share of the mean of ``surprisal ** power``, over the interval of the head's own mass."""
    shape = row.values[row.values > -math.inf] - row.log_weight  # log-probabilities within the head
    weights = np.exp(shape)
    if hidden.log_normalizer is not None:
        surprisal = np.maximum(-(shape + row.log_weight - hidden.log_normalizer), 0.0)
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
