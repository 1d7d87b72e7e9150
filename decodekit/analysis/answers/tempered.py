"""One distribution at many temperatures: log-probabilities of some tokens, and the entropy; exact or within bounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from decodekit.analysis.numbers.exponential_sums import log_sums
from decodekit.analysis.numbers.given_numbers import numbers
from decodekit.analysis.numbers.intervals import logprob_bounds
from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import Interval, Undisclosed
from decodekit.errors import ParameterError
from decodekit.types import Floats

__all__ = ["Tempered", "known_temperatures", "tempered"]

_COLDEST = 1e-100  # below it the reciprocal overflows against any real gap between scores: it is the limit already


@dataclass(frozen=True, slots=True, eq=False)
class Tempered:
    """Some tokens of a distribution at m temperatures.

    Args:
        low, high: float64[n, m] in nats, bounds on the log-probability of each token; equal where it is disclosed.
        entropy_low, entropy_high: float64[m] in nats.
    """

    low: Floats
    high: Floats
    entropy_low: Floats
    entropy_high: Floats


def known_temperatures(temperatures: Sequence[float] | Floats) -> Floats:
    """float64[m], a grid of temperatures.

    Raises:
        ParameterError: it is empty, or holds something else than numbers from 0 to infinity.
    """
    grid = numbers(temperatures, "temperatures")
    if len(grid) == 0:
        raise ParameterError("temperatures is a list of numbers, with one at least")
    if not (grid >= 0).all():
        raise ParameterError("a temperature is a number from 0 (the most likely token) to infinity")
    return grid


def tempered(dist: Distribution, token_ids: Sequence[int], temperatures: Floats) -> Tempered:
    """The tokens at each temperature: at 0 the most likely token is certain, at infinity all are equally likely.

    Args:
        dist: the distribution at temperature 1.
        token_ids: n of its tokens.
        temperatures: float64[m], as from `known_temperatures`.

    Raises:
        ParameterError: an id outside the vocabulary.
    """
    if dist.hidden is not None:
        return _bounded(dist, token_ids, temperatures)
    row = dist.row
    scores = row.scores_of(np.array(token_ids, dtype=np.int64)) - row.max_score
    shifted = row.scores - row.max_score
    if not row.least > -math.inf:
        shifted = shifted[shifted > -math.inf]
    logprobs, entropies = np.empty((len(token_ids), len(temperatures))), np.empty(len(temperatures))
    cold, hot = temperatures < _COLDEST, temperatures == math.inf
    logprobs[:, cold] = np.where(np.array(token_ids) == row.mode, 0.0, -math.inf)[:, np.newaxis]
    entropies[cold] = 0.0
    logprobs[:, hot] = np.where(scores > -math.inf, -math.log(len(shifted)), -math.inf)[:, np.newaxis]
    entropies[hot] = math.log(len(shifted))
    usual = ~(cold | hot)
    if usual.any():
        inverse = 1 / temperatures[usual]
        sums, means = log_sums(shifted, inverse)
        with np.errstate(over="ignore"):  # to -inf: no probability is left
            logprobs[:, usual] = scores[:, np.newaxis] * inverse - sums
        entropies[usual] = np.maximum(0.0, sums - inverse * means)
    return Tempered(logprobs, logprobs, entropies, entropies)


def _bounded(dist: Distribution, token_ids: Sequence[int], temperatures: Floats) -> Tempered:
    """What is certain where tokens are undisclosed: the bounds on the tail follow the temperature."""
    table = np.empty((len(token_ids), len(temperatures), 2))
    entropies = np.empty((len(temperatures), 2))
    for at, temperature in enumerate(temperatures.tolist()):
        if _COLDEST <= temperature < math.inf:
            reshaped = dist.scaled(1 / temperature)
            table[:, at] = [logprob_bounds(reshaped, token_id) for token_id in token_ids]
            entropies[at] = reshaped.bounds("entropy")
        else:
            limit, entropies[at] = _coldest(dist) if temperature < 1 else _hottest(dist)
            table[:, at] = [limit(token_id) for token_id in token_ids]
    return Tempered(table[..., 0], table[..., 1], entropies[:, 0], entropies[:, 1])


def _coldest(dist: Distribution) -> tuple[Callable[[int], Interval], Interval]:
    try:
        mode: int | None = dist.mode
    except Undisclosed:
        mode = None

    def limit(token_id: int) -> Interval:
        if mode is None:
            return Interval(-math.inf, 0.0)
        return Interval(0.0, 0.0) if token_id == mode else Interval(-math.inf, -math.inf)

    return limit, Interval(0.0, 0.0)


def _hottest(dist: Distribution) -> tuple[Callable[[int], Interval], Interval]:
    shown = int(np.count_nonzero(dist.row.values > -math.inf))
    most = math.inf if dist.vocab_size is None else float(dist.vocab_size)

    def limit(token_id: int) -> Interval:
        score = dist.row.score(token_id)
        if score == -math.inf:
            return Interval(-math.inf, -math.inf)
        return Interval(-math.log(most) if score is not None else -math.inf, -math.log(shown))

    return limit, Interval(math.log(shown), math.log(most))
