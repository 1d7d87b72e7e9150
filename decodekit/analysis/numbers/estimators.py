"""Estimates that are no plain means: a ratio of two sums, and the jackknife of anything."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from decodekit.analysis.numbers.statistics import CONFIDENCE, Estimate, student_t
from decodekit.errors import ParameterError
from decodekit.types import Floats

__all__ = ["jackknifed", "ratio"]


def ratio(totals: ArrayLike, sizes: ArrayLike) -> Estimate:
    """The sum of the totals over the sum of the sizes, such as nats per token, with the error by text (linearised).

    Tokens of one text are not independent, so the texts are the units: the error is the root of
    ``n / (n - 1) * sum((total - ratio * size)**2)``, over the sum of the sizes (Cochran 1977, section 6.4).

    Args:
        totals, sizes: float[n], one for each text.

    Raises:
        ParameterError: there are no texts, or no tokens.
    """
    total, size = np.asarray(totals, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    if len(total) == 0 or size.sum() <= 0:
        raise ParameterError("there is no token to take a mean over; give texts with at least one token")
    n, value = len(total), float(total.sum() / size.sum())
    spread = float(((total - value * size) ** 2).sum()) * n / (n - 1) if n > 1 else math.nan
    return _with_interval(value, math.sqrt(spread) / float(size.sum()), n)


def jackknifed(whole: float, left_out: Floats, *, corrected: bool) -> Estimate:
    """An estimate from its value on all n units, and on all but one, float64[n] (Quenouille 1956, Tukey 1958).

    Args:
        whole: the value on all.
        left_out: the value without each unit; empty where it has none without one: then the error is not known.
        corrected: take away the bias of order 1/n, or leave the value as it is.
    """
    n = len(left_out)
    if n < 2:
        return _with_interval(whole, math.nan, 1)
    average = float(left_out.mean())
    error = math.sqrt((n - 1) / n * float(((left_out - average) ** 2).sum()))
    return _with_interval(n * whole - (n - 1) * average if corrected else whole, error, n)


def _with_interval(value: float, error: float, n: int) -> Estimate:
    half = math.inf if math.isnan(error) else student_t(n - 1, 0.5 + CONFIDENCE / 2) * error
    return Estimate(float(value), error, float(value - half), float(value + half), n, n)
