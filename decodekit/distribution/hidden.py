"""What is known of the undisclosed tokens of a distribution, in the units of its scores."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from decodekit.distribution.disclosure import Interval, Tail

__all__ = ["Hidden"]

_LARGE = 700.0  # nats: the exponential of a little more overflows


@dataclass(frozen=True, slots=True)
class Hidden:
    """What is known of the undisclosed tokens of a distribution, in the units of its scores.

    `Tail` is how this looks after normalisation; here it can follow the scores through temperature and bias.

    Args:
        log_low: log of the smallest total weight ``sum(exp(score))`` of the hidden tokens; -inf for none.
        log_high: log of the largest; +inf when there is no bound.
        count: how many tokens are hidden, or None.
        max_score: an upper bound on the score of each.
        log_normalizer: of all tokens, hidden ones included, in nats; None where it is not known.
        entropy: of all tokens, hidden ones included, in nats; None where it is not known.
        support: how many tokens have probability, hidden ones included; None where it is not known.
        allowed: bool[vocabulary], the tokens that a mask has left, of which the hidden ones are; None without a mask.
        disclosed: how many tokens were disclosed before a mask took some of them away.
    """

    log_low: float
    log_high: float
    count: int | None
    max_score: float
    log_normalizer: float | None = None
    entropy: float | None = None
    support: int | None = None
    allowed: NDArray[np.bool_] | None = field(default=None, compare=False)
    disclosed: int = 0

    def unnormalized(self) -> Hidden:
        """The same tokens after other scores changed: what was known of all tokens together is no longer true."""
        return replace(self, log_normalizer=None, entropy=None, support=None)

    def scaled(self, factor: float) -> Hidden:
        """The bounds after every score was multiplied by ``factor > 0``.

        With weights ``w <= exp(max_score)`` of a known sum, the sum of ``w ** factor`` is extreme where the weight is
        spread evenly over all tokens, and where it is packed into as few as possible.
        """
        if factor <= 1:
            low, high = self._packed(self.log_low, factor), self._spread(self.log_high, factor, math.inf)
        else:
            low, high = self._spread(self.log_low, factor, -math.inf), self._packed(self.log_high, factor)
        scaled = replace(self, log_low=low, log_high=high, max_score=self.max_score * factor)
        return scaled.unnormalized()

    def tail(self, log_shown: float) -> Tail:
        """The bounds as probabilities; ``log_shown`` is the log of the disclosed tokens' total weight."""
        low, high = _share(self.log_low, log_shown, 0.0), _share(self.log_high, log_shown, math.exp(-_LARGE))
        if self.log_normalizer is not None:  # a head as it was given: a record of this bound gives the same head again
            return Tail(low, high, self.count, self.max_score - self.log_normalizer)
        least = float(np.logaddexp(log_shown, self.log_low))
        bound = min(self.max_score - least, math.log(high) if high > 0 else -math.inf)
        return Tail(low, high, self.count, bound)

    def log_mass(self, log_shown: float) -> Interval:
        """The bounds on the probability of all hidden tokens as logs in nats, also where a float would have none."""
        return Interval(*(_log_share(log_weight, log_shown) for log_weight in (self.log_low, self.log_high)))

    def _packed(self, log_weight: float, factor: float) -> float:
        if log_weight == -math.inf or self.max_score == -math.inf:
            return -math.inf
        if log_weight - self.max_score > _LARGE:
            return self.max_score * factor + (log_weight - self.max_score)
        if log_weight <= self.max_score:
            return log_weight * factor
        tokens = math.exp(log_weight - self.max_score)
        whole = math.floor(tokens)
        return self.max_score * factor + math.log(whole + (tokens - whole) ** factor)

    def _spread(self, log_weight: float, factor: float, unbounded: float) -> float:
        if log_weight == -math.inf:
            return -math.inf
        if self.count is None or log_weight == math.inf:
            return unbounded
        return math.log(self.count) + factor * (log_weight - math.log(self.count))


def _share(log_part: float, log_rest: float, least: float) -> float:
    """``part / (part + rest)`` from logs; ``least`` where it is too small for a float, to round a bound outwards."""
    if log_part == -math.inf:
        return 0.0
    return least if log_rest - log_part > _LARGE else 1.0 / (1.0 + math.exp(log_rest - log_part))


def _log_share(log_part: float, log_rest: float) -> float:
    """``log(part / (part + rest))`` from logs."""
    return log_part if log_part == -math.inf else -float(np.logaddexp(0.0, log_rest - log_part))
