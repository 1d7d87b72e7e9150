"""Tails of the binomial distribution and of weighted sums of such, from which the p-values of a mark's bits come."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["log_binomial_tail", "log_weighted_tail"]

_NEAR = 1e-3  # standard deviations from the mean: there the formula divides zero by zero
_BISECTIONS = 200
_LARGE = 25.0  # from here on erfc is near the smallest float64


def log_binomial_tail(hits: int, count: int, share: float) -> float:
    """The logarithm of the probability of at least this many hits, where each of ``count`` hits with this probability.

    Args:
        hits: 0 to ``count``.
        count: how many independent trials.
        share: the probability of a hit, strictly between 0 and 1.
    """
    if hits <= 0:
        return 0.0
    log_factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, count + 1)))])
    k = np.arange(hits, count + 1)
    terms = log_factorials[count] - log_factorials[k] - log_factorials[count - k]
    terms = terms + k * math.log(share) + (count - k) * math.log1p(-share)
    largest = float(terms.max())
    return min(0.0, largest + math.log(float(np.exp(terms - largest).sum())))


def log_weighted_tail(total: float, weights: NDArray[np.float64], count: int, share: float) -> float:
    """The logarithm of the probability that a weighted sum of binomial numbers of hits is at least this.

    It is an approximation, the saddlepoint formula of Lugannani and Rice (1980), whose relative error falls as one over
    the number of trials; it takes the sum as continuous.

    Args:
        total: 0 to ``count * weights.sum()``.
        weights: float64[layers], each greater than 0.
        count: how many trials of each layer.
        share: the probability of a hit, strictly between 0 and 1.
    """
    if total <= 0:
        return 0.0
    if total >= count * weights.sum() * (1 - 1e-12):
        return count * len(weights) * math.log(share)
    tilt = _tilt(total / count, weights, share)
    moment = count * np.logaddexp(math.log1p(-share), math.log(share) + tilt * weights).sum()
    hit = _tilted(tilt, weights, share)
    deviation = math.sqrt(count * (weights**2 * hit * (1 - hit)).sum())
    distance = math.copysign(math.sqrt(max(0.0, 2 * (tilt * total - moment))), tilt)
    if abs(tilt) * deviation < _NEAR:
        skewness = count * (weights**3 * hit * (1 - hit) * (1 - 2 * hit)).sum() / deviation**3
        return math.log(0.5 - skewness / (6 * math.sqrt(2 * math.pi)) - distance / math.sqrt(2 * math.pi))
    inner = _mills(distance) + 1 / (tilt * deviation) - 1 / distance
    return min(0.0, math.log(inner) - distance**2 / 2 - math.log(2 * math.pi) / 2)


def _tilted(tilt: float, weights: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """The probabilities of a hit that each layer has where sums are weighted by ``exp(tilt * sum)``."""
    odds = math.log(share) - math.log1p(-share) + tilt * weights
    hit: NDArray[np.float64] = np.exp(-np.logaddexp(0.0, -odds))
    return hit


def _tilt(mean: float, weights: NDArray[np.float64], share: float) -> float:
    """The tilt with which the sum of one trial of each layer has this mean."""
    high = 1.0
    while (weights * _tilted(high, weights, share)).sum() < mean:
        high *= 2
    low = -1.0
    while (weights * _tilted(low, weights, share)).sum() > mean:
        low *= 2
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if (weights * _tilted(middle, weights, share)).sum() < mean:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _mills(distance: float) -> float:
    """The tail of the normal distribution beyond this, divided by its density there."""
    if distance < _LARGE:
        return math.erfc(distance / math.sqrt(2)) / 2 * math.sqrt(2 * math.pi) * math.exp(distance**2 / 2)
    return (1 - 1 / distance**2 + 3 / distance**4 - 15 / distance**6) / distance
