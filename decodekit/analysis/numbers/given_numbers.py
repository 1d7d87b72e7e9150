"""Real numbers as callers give them, one or a list of them, as Python's and NumPy's own."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from decodekit.draw.whole import is_number
from decodekit.errors import ParameterError, brief
from decodekit.types import Floats

__all__ = ["between", "numbers"]


def between(value: Any, name: str, low: float, high: float) -> float:
    """A number between two others, which it is not itself; texts and truth values are none.

    Raises:
        ParameterError: it is something else.
    """
    if not is_number(value) or not low < value < high:
        ends = f"above {low:g}" if high == math.inf else f"between {low:g} and {high:g}"
        raise ParameterError(f"{name} is a number {ends}, not {brief(value)}")
    return float(value)


def numbers(values: object, name: str) -> Floats:
    """A list of numbers as float64[n]. NaN and infinities are left to the caller.

    Raises:
        ParameterError: it is no such list.
    """
    try:
        given = np.asarray(values)
        made: Floats = given.astype(np.float64) if given.dtype.kind in "biufO" else np.empty((0, 0))
    except (TypeError, ValueError, OverflowError):
        made = np.empty((0, 0))
    if made.ndim != 1:
        raise ParameterError(f"{name} is a list of numbers, not {brief(values)}")
    return made
