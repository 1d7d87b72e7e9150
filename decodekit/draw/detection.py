"""What a detector finds in token ids, and the tail of the Gamma distribution that its p-value comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

__all__ = ["Detection", "log_gamma_tail"]


@dataclass(frozen=True, slots=True)
class Detection:
    """What a detector finds in the token ids of a text.

    Args:
        scored: how many tokens count; each is an independent observation if the text has no mark.
        statistic: what was measured of them; each detector says what that is.
        log_p_value: the natural logarithm of the probability that a text without the mark reaches this statistic. It is
            exact where the probability itself is too small for a float.
        offset: for a detector that looks for the place where the ids fit best: that place; 0 otherwise.
    """

    scored: int
    statistic: float
    log_p_value: float
    offset: int = 0

    @property
    def p_value(self) -> float:
        """The probability itself; 0.0 where it is below about 1e-308."""
        return math.exp(self.log_p_value)


def log_gamma_tail(total: float, count: int) -> float:
    """The logarithm of the probability that ``count`` standard exponential numbers have at least this sum.

    It is that of a Gamma(count, 1) variable: ``exp(-total)`` times the sum of ``total**k / k!`` over k < count.

    Args:
        total: the sum, at least 0.
        count: how many numbers; 0 gives 0.0.
    """
    if count == 0 or total <= 0:
        return 0.0
    steps = np.arange(1, count)
    terms = np.concatenate([[0.0], np.cumsum(math.log(total) - np.log(steps))])
    largest = float(terms.max())
    return min(0.0, largest - total + math.log(float(np.exp(terms - largest).sum())))
