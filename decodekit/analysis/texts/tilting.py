"""Reward tilting: the law p(x) exp(r(x) / beta) / Z, which maximises E[r] - beta * KL(law || p), and best-of-n.

Here the laws are exact: over texts whose probabilities are all known, as from an enumeration. From samples they are
estimated in `decodekit.analysis.texts.tilted_samples`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from decodekit.analysis.numbers.given_numbers import between, numbers
from decodekit.distribution.divergence import expected_gap
from decodekit.draw.weights import log_sum
from decodekit.draw.whole import whole
from decodekit.errors import ParameterError
from decodekit.types import Floats

__all__ = ["TiltedLaw", "best_of_n_kl", "best_of_n_law", "known_beta", "known_rewards", "tilted_law"]

MOST_OF = 2**31
_RARE = -35.0  # nats: e**-35 is less than the last bit of 1


@dataclass(frozen=True, slots=True, eq=False)
class TiltedLaw:
    """A law q on the same texts as p.

    Args:
        logprobs: float64[n], log q of each text, in nats.
        reward: E[r] under q.
        kl: KL(q || p), in nats.
    """

    logprobs: Floats
    reward: float
    kl: float


def tilted_law(logprobs: Sequence[float] | Floats, rewards: Sequence[float] | Floats, beta: float) -> TiltedLaw:
    """The law p(x) exp(r(x) / beta) / Z. No law with the same divergence from p has a larger mean reward.

    Args:
        logprobs: float[n], log p of every text, in nats.
        rewards: float[n].
        beta: nats per unit of reward: large for p itself, small for the best text alone.

    Raises:
        ParameterError: numbers that are no law or no rewards, or a beta that is not positive.
    """
    logp, reward = _known_law(logprobs, rewards)
    scores = logp + (reward - reward.max()) / known_beta(beta)
    return _against(logp, reward, scores - log_sum(scores))


def best_of_n_law(logprobs: Sequence[float] | Floats, rewards: Sequence[float] | Floats, n: int) -> TiltedLaw:
    """The law of the best of n independent texts of p; among equal rewards the first that was drawn.

    A text has the probability F(r)**n - F(r-)**n of its reward being the largest, shared among the texts of the same
    reward in proportion to p, where F is the distribution function of the reward.

    Args:
        logprobs, rewards: as for `tilted_law`.
        n: from 1 on.

    Raises:
        ParameterError: as `tilted_law`, or a number out of range.
    """
    logp, reward = _known_law(logprobs, rewards)
    count = whole(n, "n", 1, MOST_OF)
    _, group = np.unique(reward, return_inverse=True)
    mass = np.full(group.max() + 1, -math.inf)
    np.logaddexp.at(mass, group, logp)
    chosen = _log_best(mass, count)
    alive = logp > -math.inf
    logq = np.full(len(logp), -math.inf)
    logq[alive] = logp[alive] + chosen[group[alive]] - mass[group[alive]]
    return _against(logp, reward, logq)


def _log_best(mass: Floats, n: int) -> Floats:
    """log(F(r)**n - F(r-)**n) of each reward, from the logarithms of their probabilities, by rising reward.

    With x = mass / F(r) it is n log F(r) + log(1 - (1 - x)**n): nothing near 1 is subtracted from anything near 1.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        above = np.concatenate([np.cumsum(np.exp(mass[:0:-1]))[::-1], [0.0]])
        upto = np.where(above < 0.5, np.log1p(-np.minimum(above, 0.5)), np.minimum(0.0, np.logaddexp.accumulate(mass)))
        share = np.where(mass > -math.inf, np.minimum(0.0, mass - upto), -math.inf)
        some = np.log(-np.expm1(n * np.log1p(-np.exp(share))))
        rare = share + math.log(n)  # 1 - (1 - x)**n is n x there
        found: Floats = n * upto + np.where(rare < _RARE, rare, some)
    return np.where(mass > -math.inf, found, -math.inf)


def best_of_n_kl(n: int) -> float:
    """log n - (n - 1) / n, in nats: an upper bound on KL(best of n || p).

    It is exact where no two texts have the same reward and each has a probability near 0, as for a continuous reward;
    otherwise the divergence is smaller. Source: Beirami et al. 2024, arXiv 2401.01879, theorem 1.

    Raises:
        ParameterError: n is not an integer from 1 on.
    """
    count = whole(n, "n", 1, MOST_OF)
    return math.log(count) - (count - 1) / count


def known_rewards(rewards: Sequence[float] | Floats, least: int = 1) -> Floats:
    """Rewards as float64[n], checked: finite, and at least so many.

    Raises:
        ParameterError: they are not.
    """
    array = numbers(rewards, "rewards")
    if len(array) < least or not np.isfinite(array).all():
        raise ParameterError(f"rewards are a list of finite numbers, at least {least}: one for each text")
    return array


def known_beta(beta: float) -> float:
    """A beta, checked.

    Raises:
        ParameterError: it is not positive and finite.
    """
    return between(beta, "beta, in nats per unit of reward,", 0, math.inf)


def _known_law(logprobs: Sequence[float] | Floats, rewards: Sequence[float] | Floats) -> tuple[Floats, Floats]:
    logp, reward = numbers(logprobs, "logprobs"), known_rewards(rewards)
    if logp.shape != reward.shape:
        raise ParameterError(f"there are {len(reward)} rewards for {logp.size} texts; give one for each")
    total = log_sum(logp) if (logp < math.inf).all() else math.nan
    if not abs(total) < 1e-6:
        raise ParameterError(
            f"the probabilities of the texts sum to {math.exp(total):.6g} and not to 1; enumerate all texts, or "
            "estimate from samples"
        )
    return logp, reward


def _against(logp: Floats, reward: Floats, logq: Floats) -> TiltedLaw:
    return TiltedLaw(logq, float(np.exp(logq) @ reward), max(0.0, expected_gap(logq, logp)))
