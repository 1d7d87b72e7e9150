"""How likely counts as far from the expected ones as these are."""

from __future__ import annotations

import math

__all__ = ["chi_square_tail"]


def chi_square_tail(statistic: float, freedom: int) -> float:
    """The probability of a larger statistic, for an even number of degrees of freedom: a Poisson sum."""
    terms = (math.exp(i * math.log(statistic / 2) - math.lgamma(i + 1)) for i in range(freedom // 2))
    return math.exp(-statistic / 2) * sum(terms) if statistic > 0 else 1.0
