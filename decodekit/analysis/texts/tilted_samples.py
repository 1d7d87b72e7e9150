"""Reward tilting from n texts of a model and their rewards: resampling, best-of-k, and the frontier of the two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from decodekit.analysis.numbers.estimators import jackknifed
from decodekit.analysis.numbers.statistics import Estimate
from decodekit.analysis.texts.tilting import best_of_n_kl, known_beta, known_rewards
from decodekit.draw.weights import effective_size, log_sum
from decodekit.draw.whole import whole
from decodekit.errors import ParameterError
from decodekit.types import Floats

__all__ = ["FrontierPoint", "best_of_k_reward", "reward_frontier", "tilted_samples"]


@dataclass(frozen=True, slots=True)
class FrontierPoint:
    """One point of expected reward against divergence from the model.

    Args:
        method: 'tilted' by resampling, or 'best_of_n'.
        parameter: beta, or n.
        reward: the expected reward.
        kl: the divergence from the model's law, in nats.
        kl_is_bound: whether ``kl`` is an upper bound (best-of-n) and no estimate; its error is then 0.
        effective_size: how many texts the weighted ones are worth; for best-of-n the texts over n.
    """

    method: Literal["tilted", "best_of_n"]
    parameter: float
    reward: Estimate
    kl: Estimate
    kl_is_bound: bool
    effective_size: float


def reward_frontier(
    rewards: Sequence[float] | Floats, *, betas: Sequence[float] = (), ns: Sequence[int] = ()
) -> list[FrontierPoint]:
    """The frontier from the rewards of independent texts of the model, for a plot: the betas, then the n.

    Args:
        rewards: float[n], one for each text, at least 2.
        betas: nats per unit of reward.
        ns: how many texts the best is taken of, at most as many as there are rewards.

    Raises:
        ParameterError: both lists are empty, a number is out of range, or a reward is not finite.
    """
    if len(betas) == 0 and len(ns) == 0:
        raise ParameterError("the frontier has no points: give betas, ns or both")
    array = known_rewards(rewards, 2)
    best = [
        FrontierPoint(
            "best_of_n", float(n), best_of_k_reward(array, n), _certain(best_of_n_kl(n), len(array)), True,
            len(array) / n,
        )
        for n in ns
    ]  # fmt: skip
    return [tilted_samples(array, beta) for beta in betas] + best


def tilted_samples(rewards: Sequence[float] | Floats, beta: float) -> FrontierPoint:
    """The law p(x) exp(r(x) / beta) / Z, from texts of p with the weights exp(r / beta).

    The reward is the self-normalised mean, and the divergence E[r] / beta - log Z, with log Z from the mean weight.
    Both biases of order 1/n are taken away by the jackknife, which also gives the errors; a divergence near 0 may
    come out a little below it. Where the effective size is a few texts, neither value is to be trusted: no estimate of
    the divergence from n texts can exceed log n by much.

    Args:
        rewards: float[n], one for each text of p, at least 2.
        beta: nats per unit of reward.

    Raises:
        ParameterError: as `reward_frontier`.
    """
    array, scale = known_rewards(rewards, 2), known_beta(beta)
    logs = (array - array.max()) / scale  # of the weights, up to a constant that cancels
    with np.errstate(divide="ignore"):
        first = logs + np.log(-logs)  # of weight times how far the log weight is below 0
    total, below = log_sum(logs), log_sum(first)
    totals, belows = _without_each(logs), _without_each(first)
    mean, means = -math.exp(below - total), -np.exp(belows - totals)  # of the log weights
    kl, kls = mean - (total - math.log(len(logs))), means - (totals - math.log(len(logs) - 1))
    found = jackknifed(mean, means, corrected=True)
    return FrontierPoint(
        "tilted",
        scale,
        _scaled(found, scale, float(array.max())),
        jackknifed(kl, kls, corrected=True),
        False,
        effective_size(logs),
    )


def _scaled(found: Estimate, factor: float, shift: float) -> Estimate:
    value, low, high = (shift + factor * each for each in (found.value, found.low, found.high))
    return Estimate(value, factor * found.error, low, high, found.count, found.clusters)


def _without_each(logs: Floats) -> Floats:
    """float64[n]: the log of the sum of the exponentials of all but each, by sums alone."""
    before = np.concatenate([[-math.inf], np.logaddexp.accumulate(logs)[:-1]])
    after = np.concatenate([np.logaddexp.accumulate(logs[::-1])[:-1][::-1], [-math.inf]])
    found: Floats = np.logaddexp(before, after)
    return found


def _certain(value: float, count: int) -> Estimate:
    return Estimate(value, 0.0, value, value, count, count)


def best_of_k_reward(rewards: Sequence[float] | Floats, k: int) -> Estimate:
    """The expected reward of the best of k texts, from n texts: the mean over all choices of k of them. Unbiased.

    The i-th smallest of n rewards is the largest of k in ``C(i - 1, k - 1)`` of the ``C(n, k)`` choices. The error is
    the jackknife's.

    Args:
        rewards: float[n], one for each text of the model, at least 2.
        k: 1 to n.

    Raises:
        ParameterError: as `reward_frontier`.
    """
    array = np.sort(known_rewards(rewards, 2))
    n = len(array)
    count = whole(k, "n", 1, n)
    value = float(_shares(n, count) @ array)
    if count == n:
        return Estimate(value, math.nan, -math.inf, math.inf, n, n)
    shares = _shares(n - 1, count)
    upto = np.concatenate([[0.0], np.cumsum(shares * array[:-1])])  # the smaller ones keep their places
    after = np.concatenate([np.cumsum((shares * array[1:])[::-1])[::-1], [0.0]])  # the larger ones move down by one
    return jackknifed(value, upto + after, corrected=False)


def _shares(n: int, k: int) -> Floats:
    """float64[n]: the probability that the i-th smallest of n is the largest of k of them."""
    ways = [math.lgamma(i) - math.lgamma(i - k + 1) if i >= k else -math.inf for i in range(1, n + 1)]
    found: Floats = np.exp(np.array(ways) - log_sum(ways))
    return found
