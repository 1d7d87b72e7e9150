"""Weights as logarithms: their sum, and how many equal ones they are worth."""

from __future__ import annotations

import math
from collections.abc import Sequence

from decodekit.types import Floats

__all__ = ["effective_size", "log_of", "log_sum"]


def log_of(value: float) -> float:
    """The natural logarithm; -inf of 0."""
    return math.log(value) if value > 0 else -math.inf


def log_sum(logs: Sequence[float] | Floats) -> float:
    """``log(sum(exp(logs)))``; -inf of none."""
    largest = float(max(logs, default=-math.inf))
    return -math.inf if largest == -math.inf else largest + math.log(math.fsum(math.exp(x - largest) for x in logs))


def effective_size(logs: Sequence[float] | Floats) -> float:
    """``(sum w)**2 / sum w**2`` from log weights; 0.0 where all weights are 0."""
    largest = float(max(logs, default=-math.inf))
    if largest == -math.inf:
        return 0.0
    weights = [math.exp(x - largest) for x in logs]
    return math.fsum(weights) ** 2 / math.fsum(w * w for w in weights)
