"""Sums of exponentials of one row of scores at many inverse temperatures, for little more than one pass over the row.

``log(sum(exp(b * s)))`` and its derivative by ``b`` are all that probabilities and entropies at temperature ``1 / b``
need. Scores are sorted into bins of 1/8 nat. Within a bin, ``exp(b * d)`` of the distances d to its middle is a power
series in b whose coefficients are moments of the bin, computed once for all b. For b up to 4, ``|b * d|`` is at most
1/4, and ten terms leave a relative error below 1e-14. Larger b see few scores, which are summed one by one.
"""

from __future__ import annotations

import math

import numpy as np

from decodekit.types import Floats

__all__ = ["log_sums"]

_WIDTH, _TERMS, _BINNED = 0.125, 10, 4.0
_FAR = 60.0  # exp(-60) times any vocabulary is below the rounding of a sum that is at least 1
_SHORT = 1024  # scores; a row of fewer is summed one by one


def log_sums(shifted: Floats, inverse: Floats) -> tuple[Floats, Floats]:
    """``log(sum(exp(b * s)))`` for each b, and its derivative: the mean of s under the weights.

    Args:
        shifted: float64[n] in nats, scores less the largest: none is above 0, one is 0.
        inverse: float64[m], inverse temperatures b, positive and finite.

    Returns:
        Two arrays, float64[m].
    """
    binned = inverse <= _BINNED if len(shifted) > _SHORT else np.zeros(len(inverse), dtype=bool)
    sums, means = np.empty(len(inverse)), np.empty(len(inverse))
    if binned.any():
        sums[binned], means[binned] = _binned(shifted, inverse[binned])
    if not binned.all():
        cold = inverse[~binned]
        near = shifted[shifted > -_FAR / float(cold.min())]
        parts = [_one_by_one(near, b) for b in cold.tolist()]
        sums[~binned], means[~binned] = np.array(parts).T
    return np.log(sums), means / sums


def _one_by_one(shifted: Floats, b: float) -> tuple[float, float]:
    with np.errstate(over="ignore"):
        weights = np.exp(b * shifted)
    return float(weights.sum()), float((weights * shifted).sum())


def _binned(shifted: Floats, inverse: Floats) -> tuple[Floats, Floats]:
    """The sum of the exponentials, and of each times its score; neither is divided by the other yet."""
    kept = np.sort(shifted[shifted > -_FAR / float(inverse.min())])
    places = np.floor(kept / _WIDTH)
    starts = np.concatenate([[0], np.flatnonzero(places[1:] != places[:-1]) + 1])
    middles = (places[starts] + 0.5) * _WIDTH
    distances = kept - middles.repeat(np.diff([*starts, len(kept)]))
    moments, power = np.empty((len(starts), _TERMS + 1)), np.ones(len(kept))
    for k in range(_TERMS + 1):
        moments[:, k] = np.add.reduceat(power, starts)
        power *= distances
    weights = np.exp(inverse[:, np.newaxis] * middles)
    orders = np.arange(_TERMS + 1)
    factors = inverse[:, np.newaxis] ** orders / [math.factorial(k) for k in orders.tolist()]
    series = (weights @ moments) * factors
    sums = series.sum(axis=1)
    slopes = ((weights * middles) @ moments * factors).sum(axis=1) + (series * orders).sum(axis=1) / inverse
    return sums, slopes
