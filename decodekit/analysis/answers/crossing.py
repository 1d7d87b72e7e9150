"""Where two curves cross."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from decodekit.errors import ParameterError
from decodekit.types import Floats

__all__ = ["Crossing", "crossings"]


@dataclass(frozen=True, slots=True)
class Crossing:
    """One curve overtakes another between two points of the grid.

    Args:
        low, high: the two points, between which it certainly happens.
        at: an estimate of where, by a straight line between them.
        rising: whether the first curve is the higher one from here on.
    """

    low: float
    high: float
    at: float
    rising: bool


def crossings(grid: Floats, first: Floats, second: Floats) -> list[Crossing]:
    """Where the first curve overtakes the second one or is overtaken, along a rising grid.

    Points where the curves are equal, or both -inf, say nothing: the points beside them are compared.

    Args:
        grid: float64[m], rising.
        first, second: float64[m], the curves; log-probabilities, say.

    Raises:
        ParameterError: the grid does not rise, or the lengths differ.
    """
    if not (grid.shape == first.shape == second.shape):
        raise ParameterError(f"curves over {len(grid)} points have {len(first)} and {len(second)} values")
    if (np.diff(grid) <= 0).any():
        raise ParameterError("a grid for crossing points rises")
    with np.errstate(invalid="ignore"):
        gaps = first - second
    apart = np.flatnonzero(~np.isnan(gaps) & (gaps != 0))
    found = []
    for before, after in zip(apart[:-1].tolist(), apart[1:].tolist(), strict=True):
        one, two = float(gaps[before]), float(gaps[after])
        if (one > 0) != (two > 0):
            low, high = float(grid[before]), float(grid[after])
            share = one / (one - two) if np.isfinite(one) and np.isfinite(two) else 0.5
            at = low + (high - low) * share if np.isfinite(high) else low
            found.append(Crossing(low, high, at, two > 0))
    return found
