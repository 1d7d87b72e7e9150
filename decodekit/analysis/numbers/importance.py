"""Questions about one law, answered with texts of another: weights, their effective size, and errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from decodekit.analysis.numbers.given_numbers import numbers
from decodekit.draw.randomness import ESTIMATORS, Randomness
from decodekit.draw.weights import effective_size, log_sum
from decodekit.draw.whole import whole
from decodekit.errors import EmptySupport, ParameterError
from decodekit.types import Floats, Ids

__all__ = ["Weighted", "known_weights", "resampled", "self_normalised"]


@dataclass(frozen=True, slots=True)
class Weighted:
    """A mean under p, estimated with texts drawn from q.

    Args:
        value: the mean with weights that sum to 1. Its bias is of order 1/n.
        error: the standard error by the delta method, ``sqrt(sum (w * (f - value))**2)`` for weights of sum 1; NaN for
            one text. It is too small where a few texts have most of the weight: look at ``effective_size``.
        effective_size: ``(sum w)**2 / sum w**2``, at most n.
        log_mean_weight: the log of the mean weight, in nats: for log p - log q of whole texts, the log of an unbiased
            estimate of the probability, under p, of the texts that q can write. Far below 0, p is not covered.
        n: how many texts.
    """

    value: float
    error: float
    effective_size: float
    log_mean_weight: float
    n: int


def self_normalised(values: Sequence[float] | Floats, log_weights: Sequence[float] | Floats) -> Weighted:
    """The mean of a function of a text under p, from texts of q. Source: Owen 2013, Monte Carlo, chapter 9.

    Texts that q cannot write are not seen: the mean is that of p given the texts that q can write.

    Args:
        values: float[n], the function of each text.
        log_weights: float[n], log p - log q of each text, in nats, up to a constant; -inf for a weight of 0.

    Raises:
        ParameterError: not one weight for each value, or none, or a value or weight that is no number.
        EmptySupport: all weights are 0.
    """
    weights, shares = known_weights(log_weights)
    array = numbers(values, "values")
    if array.shape != weights.shape or not np.isfinite(array[shares > 0]).all():
        raise ParameterError(f"give one finite value for each of the {len(weights)} weights")
    array = np.where(shares > 0, array, 0.0)
    value = float(shares @ array)
    error = math.sqrt(float(((shares * (array - value)) ** 2).sum())) if len(array) > 1 else math.nan
    return Weighted(value, error, effective_size(weights), log_sum(weights) - math.log(len(weights)), len(weights))


def known_weights(log_weights: Sequence[float] | Floats) -> tuple[Floats, Floats]:
    """Weights as float64[n] logarithms, checked, and as float64[n] shares of sum 1.

    Raises:
        ParameterError: there are none, or one is NaN or infinitely large.
        EmptySupport: all are 0.
    """
    logs = numbers(log_weights, "log_weights")
    if len(logs) == 0 or np.isnan(logs).any() or (logs == math.inf).any():
        raise ParameterError("log weights are a list of numbers, finite or -inf, with at least one")
    total = log_sum(logs)
    if total == -math.inf:
        raise EmptySupport("all weights are 0: no text that was drawn has probability under the law in question")
    return logs, np.exp(logs - total)


def resampled(log_weights: Sequence[float] | Floats, count: int, seed: int | None = None) -> Ids:
    """Texts drawn again in proportion to their weights: int64[count], their numbers, in rising order.

    Systematic resampling: text i is drawn ``count * share`` times, rounded down or up.

    Args:
        log_weights: float[n], in nats.
        count: how many, from 1 on.
        seed: of the one random number; a random one when None.

    Raises:
        ParameterError, EmptySupport: as `known_weights`.
    """
    _, shares = known_weights(log_weights)
    wanted = whole(count, "count", 1, 2**31)
    (start,) = Randomness(seed).uniform([0], step=0, domain=ESTIMATORS)
    edges = np.cumsum(shares)
    places = (np.arange(wanted) + start) / wanted * edges[-1]
    found: Ids = np.searchsorted(edges, places, side="right").astype(np.int64)
    return found
