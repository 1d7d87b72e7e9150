"""Means with intervals for samples that belong together, and pass@k.

Samples of one prompt are not independent of one another, so the prompts are what is counted: standard errors are
clustered by prompt (Miller 2024, arXiv 2411.00640), and intervals take Student's t with one degree of freedom less than
there are prompts.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from decodekit.analysis.numbers.given_numbers import between, numbers
from decodekit.draw.whole import whole
from decodekit.errors import ParameterError
from decodekit.types import Floats

__all__ = ["Estimate", "mean", "paired_difference", "pass_at_k", "pass_at_k_over", "student_t"]

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and how far it can be trusted.

    Args:
        value: the mean.
        error: its standard error, clustered; NaN where there are fewer than two clusters.
        low, high: the ends of the interval; -inf and inf where there are fewer than two clusters.
        count: how many values it is the mean of.
        clusters: how many clusters they form.
        confidence: how often such an interval contains the truth.
    """

    value: float
    error: float
    low: float
    high: float
    count: int
    clusters: int
    confidence: float = CONFIDENCE


def mean(values: ArrayLike, clusters: Sequence[Hashable] | None = None, *, confidence: float = CONFIDENCE) -> Estimate:
    """The mean of values, with an interval that holds where the values of one cluster depend on one another.

    The variance is ``G / (G - 1) * sum over clusters of (sum of residuals)^2 / n^2``, with G clusters.

    Args:
        values: float[n].
        clusters: which cluster each value belongs to, such as its prompt; None for one of its own each.
        confidence: of the interval, between 0 and 1.

    Raises:
        ParameterError: no values, one that is no finite number, or another number of clusters than of values.
    """
    given, confidence = numbers(values, "values"), between(confidence, "confidence", 0, 1)
    if not len(given) or not np.isfinite(given).all():
        raise ParameterError("values: a mean needs at least one value, and finite ones only")
    places = np.arange(len(given)) if clusters is None else _numbered(clusters, len(given))
    value, count = float(given.mean()), int(places.max()) + 1
    if count < 2:
        return Estimate(value, math.nan, -math.inf, math.inf, len(given), count, confidence)
    sums = np.bincount(places, weights=given - value)
    error = math.sqrt(count / (count - 1) * float(sums @ sums)) / len(given)
    half = student_t(count - 1, 0.5 + confidence / 2) * error
    return Estimate(value, error, value - half, value + half, len(given), count, confidence)


def paired_difference(
    one: ArrayLike, other: ArrayLike, clusters: Sequence[Hashable] | None = None, *, confidence: float = CONFIDENCE
) -> Estimate:
    """The mean of ``other - one``, pair by pair: what two chains have in common, such as their noise, cancels.

    Args:
        one, other: float[n], of the same units in the same order.
        clusters, confidence: as for `mean`.

    Raises:
        ParameterError: not as many of one as of the other; and as `mean`.
    """
    first, second = numbers(one, "one"), numbers(other, "other")
    if first.shape != second.shape:
        raise ParameterError(f"pairs: {first.size} values of one and {second.size} of the other")
    return mean(second - first, clusters, confidence=confidence)


def pass_at_k(n: int, c: int, k: int) -> float:
    """The probability that at least one of k samples is correct, estimated from n samples of which c are.

    ``1 - C(n - c, k) / C(n, k)``, which is unbiased for k up to n (Chen et al. 2021, arXiv 2107.03374); what
    ``1 - (1 - c / n)^k`` estimates is too low. Choose n of at least 2 k.

    Raises:
        ParameterError: not ``0 <= c <= n`` and ``1 <= k <= n``.
    """
    n, k = whole(n, "n", 1, 2**31), whole(k, "k", 1, 2**31)
    c = whole(c, "c", 0, 2**31)
    if c > n or k > n:
        raise ParameterError(f"pass@{k} of {c} correct samples needs at least {max(c, k)} samples, not {n}")
    if n - c < k:
        return 1.0
    misses = float(np.log1p(-k / np.arange(n - c + 1, n + 1, dtype=np.float64)).sum())  # log C(n - c, k) / C(n, k)
    return -math.expm1(misses) if c else 0.0


def pass_at_k_over(outcomes: Sequence[tuple[int, int]], k: int, *, confidence: float = CONFIDENCE) -> Estimate:
    """The mean of `pass_at_k` over prompts, with an interval for other prompts of the same kind.

    Args:
        outcomes: how many samples each prompt has, and how many of them are correct.
        k, confidence: as above.

    Raises:
        ParameterError: no prompts, or one with fewer than k samples.
    """
    return mean([pass_at_k(n, c, k) for n, c in outcomes], confidence=confidence)


@lru_cache(maxsize=256)
def student_t(degrees: int, probability: float) -> float:
    """The quantile of Student's t; `probability` of 0.5 to 1. By bisection, to about 1e-12."""
    low, high = 0.0, 1.0
    while _student_cdf(degrees, high) < probability and high < 1e15:
        low, high = high, 2 * high
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _student_cdf(degrees, middle) < probability else (low, middle)
    return (low + high) / 2


def _student_cdf(degrees: int, t: float) -> float:
    """P(T <= t) for t of at least 0: the finite sums for whole degrees (Abramowitz and Stegun 26.7.3 and 26.7.4)."""
    if degrees > 10_000:
        return 0.5 * math.erfc(-t / math.sqrt(2))  # closer than 1e-5 by then
    angle = math.atan2(t, math.sqrt(degrees))
    cosine = math.cos(angle)
    odd = degrees % 2
    powers: Floats = np.arange(2 + odd, degrees - 1, 2, dtype=np.float64)
    factors = np.concatenate([[1.0], (powers - 1) / powers]) * np.concatenate([[1.0], np.full(len(powers), cosine**2)])
    total = float(np.cumprod(factors).sum()) if degrees > 1 else 0.0
    if odd:
        return 0.5 + (angle + math.sin(angle) * cosine * total) / math.pi
    return 0.5 + math.sin(angle) * total / 2


def _numbered(clusters: Sequence[Hashable], count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    if len(clusters) != count:
        raise ParameterError(f"clusters: {len(clusters)} for {count} values")
    found: dict[Hashable, int] = {}
    try:
        return np.array([found.setdefault(cluster, len(found)) for cluster in clusters], dtype=np.int64)
    except TypeError:
        raise ParameterError("clusters: the names of clusters are hashable, such as numbers, texts or tuples") from None
