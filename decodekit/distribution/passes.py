"""Passes over a whole row of scores, few of them, because memory bandwidth is the limit."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decodekit.errors import DistributionError, EmptySupport
from decodekit.types import Floats, Ids

__all__ = ["FAR", "check", "frozen", "leaders", "pieces"]


FAR = 1e150
"""A score this far below the largest has probability zero in float64, and its square does not overflow."""

_LARGEST = 1e305  # a number that differs from this by 1e308 still fits a float64
_BLOCK = 128
_PIECE = 16_384

_here = threading.local()  # reused buffers: freeing and allocating again costs a page fault for every 512 numbers


def check(scores: NDArray[np.floating[Any]]) -> float:
    """The largest score of a valid row: no NaN, and a largest score between -1e305 and 1e305."""
    largest = float(np.maximum.reduce(scores))
    if math.isnan(largest):
        raise DistributionError(f"{int(np.isnan(scores).sum())} of {scores.size} scores are NaN")
    if largest == math.inf:
        raise DistributionError(f"{int((scores == math.inf).sum())} of {scores.size} scores are +inf")
    if largest == -math.inf:
        raise EmptySupport("every score is -inf: no token has probability")
    if abs(largest) > _LARGEST:
        raise DistributionError(
            f"the largest score is {largest:.3g}, and differences of scores beyond ±{_LARGEST:g} overflow a float64; "
            "a token without probability has the score -inf"
        )
    return largest


def pieces(
    row: NDArray[np.floating[Any]], largest: float, scale: float, *, deep: bool
) -> Iterator[tuple[int, Floats, Floats]]:
    """(start, scores less the largest, their exponentials), a piece at a time; the next piece overwrites them.

    A piece fits the processor's cache, and its memory is not returned to the operating system in between; on a
    vocabulary of 150,000 that is several times faster than whole arrays. What lies further below the largest than
    1e150, as -inf does, becomes -1e150: its exponential is zero, and zero times its square is not NaN.

    Args:
        row: float[V], before the scale.
        largest: of the row.
        scale: what the differences are multiplied with.
        deep: whether the row holds such scores.
    """
    spare: list[Floats] = _here.__dict__.setdefault("spare", [])
    space = spare.pop() if spare else np.empty((2, _PIECE))
    try:
        for start in range(0, len(row), _PIECE):
            piece = row[start : start + _PIECE]
            shifted, weights = space[:, : len(piece)]
            np.subtract(piece, largest, out=shifted, dtype=np.float64)
            if deep and scale > 1.0:  # before the product, which could overflow
                np.maximum(shifted, -FAR / scale, out=shifted)
            if scale != 1.0:
                shifted *= scale
            if deep and scale <= 1.0:
                np.maximum(shifted, -FAR, out=shifted)
            np.exp(shifted, out=weights)
            yield start, shifted, weights
    finally:
        spare.append(space)


def leaders(row: NDArray[np.floating[Any]], k: int) -> Ids:
    """Rising ids that certainly contain the k largest scores.

    The k-th largest of the maxima of disjoint blocks is a lower bound on the k-th largest score, and one pass of
    maxima is many times cheaper than a selection.
    """
    if k >= len(row) // 8:
        return np.arange(len(row))
    size = max(1, min(_BLOCK, len(row) // (2 * k)))  # of a block; with fewer than 2k blocks the bound would be low
    blocks = len(row) // size
    maxima = np.maximum.reduce(row[: blocks * size].reshape(size, blocks), axis=0)
    maxima.partition(len(maxima) - k)
    found: Ids = (row >= maxima[len(maxima) - k]).nonzero()[0]
    return found


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """The array, made read-only."""
    array.flags.writeable = False
    return array
