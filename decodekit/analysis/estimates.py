"""A number that was estimated from texts, with its standard error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from decodekit.errors import ParameterError
from decodekit.types import Floats

__all__ = ["Estimate", "jackknifed", "mean_of", "ratio_of"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimate.

    Args:
        value: the estimate.
        standard_error: its standard error; inf where one text tells nothing of the spread.
        n: how many independent texts, or passes, it comes from.
    """

    value: float
    standard_error: float
    n: int


def mean_of(values: Sequence[float] | Floats) -> Estimate:
    """The mean of independent values.

    Raises:
        ParameterError: there are none.
    """
    array = np.asarray(values, dtype=np.float64)
    if len(array) == 0:
        raise ParameterError("there is nothing to take the mean of; give at least one text")
    error = float(array.std(ddof=1)) / math.sqrt(len(array)) if len(array) > 1 else math.inf
    return Estimate(float(array.mean()), error, len(array))


def ratio_of(totals: Sequence[float] | Floats, sizes: Sequence[float] | Floats) -> Estimate:
    """The sum of the totals over the sum of the sizes, such as nats per token, with the error by text (linearised).

    Tokens of one text are not independent, so the texts are the units: the error is the root of
    ``n / (n - 1) * sum((total - ratio * size)**2)``, over the sum of the sizes (Cochran 1977, section 6.4).

    Raises:
        ParameterError: there are no texts, or no tokens.
    """
    total, size = np.asarray(totals, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    if len(total) == 0 or size.sum() <= 0:
        raise ParameterError("there is no token to take a mean over; give texts with at least one token")
    n, ratio = len(total), float(total.sum() / size.sum())
    if n == 1:
        return Estimate(ratio, math.inf, 1)
    spread = float(((total - ratio * size) ** 2).sum()) * n / (n - 1)
    return Estimate(ratio, math.sqrt(spread) / float(size.sum()), n)


def jackknifed(whole: float, left_out: Floats, *, corrected: bool) -> Estimate:
    """An estimate from its value on all n units, and on all but one, float64[n]: the jackknife (Quenouille, Tukey).

    Args:
        whole: the value on all.
        left_out: the value without each unit.
        corrected: take away the bias of order 1/n, or leave the value as it is.
    """
    n, mean = len(left_out), float(left_out.mean())
    error = math.sqrt((n - 1) / n * float(((left_out - mean) ** 2).sum()))
    return Estimate(n * whole - (n - 1) * mean if corrected else whole, error, n)
