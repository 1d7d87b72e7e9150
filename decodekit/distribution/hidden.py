"""The undisclosed tokens of a distribution, in the units of its scores."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = [
    "Hidden",
]


@dataclass(frozen=True, slots=True)
class Hidden:
    """The undisclosed tokens of a distribution, in the units of its scores.

    `Tail` is how this looks after normalisation; here it can follow the scores through temperature and bias.

    Args:
        log_low: log of the least total weight ``sum(exp(score))`` of the hidden tokens; -inf for none.
        log_high: log of the most; +inf when nothing bounds it.
        count: how many tokens are hidden, or None.
        max_score: an upper bound on the score of each.
    """

    log_low: float
    log_high: float
    count: int | None
    max_score: float

    def scaled(self, factor: float) -> Hidden:
        """The bounds after every score was multiplied by ``factor > 0``.

        With weights ``w <= exp(max_score)`` of a known sum, the sum of ``w ** factor`` is extreme where the weight is
        spread evenly over all tokens, and where it is packed into as few as possible.
        """
        if factor <= 1:
            low, high = self._packed(self.log_low, factor), self._spread(self.log_high, factor, math.inf)
        else:
            low, high = self._spread(self.log_low, factor, -math.inf), self._packed(self.log_high, factor)
        return Hidden(low, high, self.count, self.max_score * factor)

    def _packed(self, log_weight: float, factor: float) -> float:
        if log_weight == -math.inf or self.max_score == -math.inf:
            return -math.inf
        if log_weight - self.max_score > 700:
            return math.inf
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
