"""What a model says of the next token, and what it leaves open."""

from decodekit.distribution.distribution import AMBIGUITY, Distribution, Origin, Schedule, Stage
from decodekit.distribution.row import Row

__all__ = ["AMBIGUITY", "Distribution", "Origin", "Row", "Schedule", "Stage"]
