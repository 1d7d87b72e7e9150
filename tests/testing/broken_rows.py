"""Distributions that `Distribution` makes no constructor for, since they break its promises."""

from __future__ import annotations

from typing import Any

import numpy as np

from decodekit import Distribution
from decodekit.distribution.fields import filled
from decodekit.distribution.row import Row

__all__ = ["with_values"]


def with_values(dist: Distribution, values: np.ndarray[Any, Any]) -> Distribution:
    """The same tokens and labels over this array itself: not copied, not checked and not frozen."""
    _, *labels = dist.parts_and_labels()
    row = Row(dist.row.ids, values, dist.row.vocab_size, dist.row.scale)
    return filled(Distribution, row, *labels, dist.ambiguous)
