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

__all__ = ["FAR", "block_maxima", "check", "frozen", "leaders", "pieces", "rising"]


FAR = 1e150
"""A score this far below the largest has probability zero in float64, and its square does not overflow."""

_LARGEST = 1e305  # a number that differs from this by 1e308 still fits a float64
_BLOCKS = 1024
_PIECE = 16_384

_here = threading.local()  # reused buffers: freeing and allocating again costs a page fault for every 512 numbers


def check(scores: NDArray[np.floating[Any]], maxima: NDArray[np.floating[Any]] | None = None) -> float:
    """The largest score of a valid row: no NaN, and a largest score between -1e305 and 1e305.

    ``maxima``: the row's `block_maxima`, if they are known.
    """
    largest = float(np.maximum.reduce(scores if maxima is None else maxima))
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
            shifted[...] = piece  # faster than a subtraction that converts
            shifted -= largest
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


def block_maxima(row: NDArray[np.floating[Any]], blocks: int = _BLOCKS) -> NDArray[np.floating[Any]]:
    """The largest score of each block of a row; the block of token i is i modulo the number of blocks."""
    if blocks >= len(row):
        return row
    whole = len(row) // blocks * blocks
    maxima: NDArray[np.floating[Any]] = np.maximum.reduce(row[:whole].reshape(-1, blocks), axis=0)
    rest = len(row) - whole
    np.maximum(maxima[:rest], row[whole:], out=maxima[:rest])
    return maxima


def leaders(row: NDArray[np.floating[Any]], k: int, maxima: NDArray[np.floating[Any]]) -> Ids:
    """Rising ids that certainly contain the k largest scores.

    The k-th largest of the maxima of disjoint blocks is a lower bound on the k-th largest score, and one pass of
    maxima is many times cheaper than a selection. Then only the blocks whose maximum reaches it are looked at.

    Args:
        row: float[V].
        k: how many.
        maxima: its `block_maxima`.
    """
    if k >= len(row) // 8:
        return np.arange(len(row))
    if len(maxima) < 2 * k:  # the bound would be low
        maxima = block_maxima(row, 2 * k)
    blocks = len(maxima)
    bound = np.partition(maxima, blocks - k)[blocks - k]
    reaching: Ids = (maxima >= bound).nonzero()[0]
    if blocks == len(row):
        return reaching
    if len(reaching) > blocks // 8:
        found: Ids = (row >= bound).nonzero()[0]
        return found
    whole = len(row) // blocks * blocks
    looked_at = row[:whole].reshape(-1, blocks).take(reaching, axis=1).ravel()
    turn, block = np.divmod((looked_at >= bound).nonzero()[0], len(reaching))
    rest = (row[whole:] >= bound).nonzero()[0]
    return np.concatenate([turn * blocks + reaching[block], rest + whole])


def rising(ids: Ids) -> Ids:
    """The distinct ids in rising order: the array itself where it is so, which costs a hundredth of a sort."""
    return ids if (ids[1:] > ids[:-1]).all() else np.unique(ids)


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """The array, made read-only."""
    array.flags.writeable = False
    return array
