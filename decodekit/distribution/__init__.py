"""The distribution of the next token, and what is known of its undisclosed tokens."""

from decodekit.distribution.distribution import AMBIGUITY, Distribution, Origin, Schedule, Stage
from decodekit.distribution.row import Row

__all__ = ["AMBIGUITY", "Distribution", "Origin", "Row", "Schedule", "Stage"]
