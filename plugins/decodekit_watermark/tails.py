"""The tail of the binomial distribution, from which the p-values of the bits of a mark come."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["log_binomial_tail"]


def log_binomial_tail(hits: int, count: int, share: float) -> float:
    """The logarithm of the probability of at least this many hits, where each of ``count`` hits with this probability.

    Args:
        hits: 0 to ``count``.
        count: how many independent trials.
        share: the probability of a hit, strictly between 0 and 1.
    """
    if hits <= 0:
        return 0.0
    log_factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, count + 1)))])
    k = np.arange(hits, count + 1)
    terms = log_factorials[count] - log_factorials[k] - log_factorials[count - k]
    terms = terms + k * math.log(share) + (count - k) * math.log1p(-share)
    largest = float(terms.max())
    return min(0.0, largest + math.log(float(np.exp(terms - largest).sum())))
