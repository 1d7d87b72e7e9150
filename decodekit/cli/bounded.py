"""Values that may be known within bounds only, as JSON and as words."""

from __future__ import annotations

import math
from typing import Any

from decodekit.analysis.plots import Line
from decodekit.cli.output import number
from decodekit.types import Floats

__all__ = ["between", "line_of", "numbers_of", "point_of"]


def numbers_of(low: Floats, high: Floats, *, whole: bool = False) -> list[Any] | dict[str, list[Any]]:
    """The exact values as JSON, or their bounds where one is not exact; ``whole`` for counts."""
    ends = [[int(each) if whole and math.isfinite(each) else number(each) for each in side.tolist()]
            for side in (low, high)]  # fmt: skip
    return ends[0] if ends[0] == ends[1] else {"low": ends[0], "high": ends[1]}


def point_of(low: float, high: float) -> Any:
    """One value as JSON, or its bounds."""
    return number(low) if low == high else {"low": number(low), "high": number(high)}


def between(low: str, high: str) -> str:
    """A value in words: once where both bounds read alike."""
    return low if low == high else f"{low.removesuffix(' %')} to {high}"


def line_of(low: Floats, high: Floats) -> Line:
    """A line through the middle of the bounds, with these as its band."""
    return Line((low + high) / 2, low, high)
