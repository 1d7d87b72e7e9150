"""Philox4x64-10 over arrays of counters: NumPy's own words, for many counters and keys in one call.

NumPy's generator gives one stream of words quickly, but costs microseconds each time it is moved to another counter.
The few tokens of many rows need one block each, all at different counters; here they are computed together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["WORDS_PER_BLOCK", "blocks"]

WORDS_PER_BLOCK = 4

_ROUNDS = 10
_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
_MULTIPLIERS = np.array([[0xD2E7470EE14C6C93], [0xCA5A826395121157]], dtype=np.uint64)
_FACTORS = np.stack([_MULTIPLIERS, _MULTIPLIERS & _LOW, _MULTIPLIERS >> _HALF])
_WEYL = np.array([[0x9E3779B97F4A7C15], [0xBB67AE8584CAA73B]], dtype=np.uint64)

Words = NDArray[np.uint64]


def blocks(counters: Words, keys: Words) -> Words:
    """The block of four words at each counter, as uint64[4, n].

    NumPy adds one to a counter before it makes a block: ``Philox(counter=c, key=k).random_raw(4)`` is the block at
    ``c + 1``.

    Args:
        counters: uint64[4, n], the least significant part first.
        keys: uint64[2, n], or uint64[2, 1] for one key.

    Source: Salmon, Moraes, Dror and Shaw 2011, Parallel random numbers: as easy as 1, 2, 3.
    """
    multiplied, kept = counters[0::2].copy(), counters[1::2]
    count = multiplied.shape[1]
    keys = keys.copy()
    space = np.empty((4, *multiplied.shape), dtype=np.uint64)
    factors = _FACTORS.repeat(count, axis=2)  # broadcasting takes twice as long
    weyl = _WEYL.repeat(keys.shape[1], axis=1)
    for turn in range(_ROUNDS):
        if turn:
            keys += weyl
        low = multiplied * factors[0]
        high = _high_products(multiplied, factors, space)
        np.bitwise_xor(high[::-1], kept, out=multiplied)
        multiplied ^= keys
        kept = low[::-1]
    words = np.empty(counters.shape, dtype=np.uint64)
    words[0::2], words[1::2] = multiplied, kept
    return words


def _high_products(values: Words, factors: Words, space: Words) -> Words:
    """The upper 64 bits of the 128-bit products with the multipliers; the result lies in ``space``."""
    _, low_factors, high_factors = factors
    low, high, middle, product = space
    np.bitwise_and(values, _LOW, out=low)
    np.right_shift(values, _HALF, out=high)
    np.multiply(low, low_factors, out=middle)
    middle >>= _HALF
    np.multiply(high, low_factors, out=product)
    middle += product
    low *= high_factors
    np.bitwise_and(middle, _LOW, out=product)
    low += product
    low >>= _HALF
    middle >>= _HALF
    high *= high_factors
    high += middle
    high += low
    products: Words = high
    return products
