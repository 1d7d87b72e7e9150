"""What floating-point addition keeps and what it does not: the order of two numbers, and the grouping of three."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from decodekit.draw.randomness import ESTIMATORS, Randomness
from decodekit.draw.whole import whole
from decodekit.errors import ParameterError

__all__ = ["FloatAddition", "float_addition"]

_MOST = 100_000_000


@dataclass(frozen=True, slots=True)
class FloatAddition:
    """Counts over random numbers a, b, c, with standard Gumbel laws: of both signs and many magnitudes.

    Args:
        tried: how many triples.
        order_matters: how often ``a + b`` and ``b + a`` have different bits: 0, by IEEE 754.
        grouping_matters: how often ``(a + b) + c`` and ``a + (b + c)`` differ.
        largest_gap: the largest difference of the two groupings.
        repeat_matters: how often the same sum of all numbers, computed again, has other bits: 0.
    """

    tried: int
    order_matters: int
    grouping_matters: int
    largest_gap: float
    repeat_matters: int


def float_addition(n: int = 10_000, dtype: str = "float32", *, repeats: int = 100, seed: int = 0) -> FloatAddition:
    """Count how often addition depends on the order of two numbers, and on the grouping of three.

    So a sum depends on how its terms are grouped, such as by the shape of a batch, and not on chance: the same grouping
    gives the same bits.

    Args:
        n: how many triples.
        dtype: 'float16', 'float32' or 'float64'.
        repeats: how often the sum of all numbers is computed again.
        seed: of the numbers.

    Raises:
        ParameterError: a number out of range, or another dtype.
    """
    if dtype not in ("float16", "float32", "float64"):
        raise ParameterError(f"dtype is 'float16', 'float32' or 'float64', not {dtype!r}")
    count, again = whole(n, "n", 1, _MOST), whole(repeats, "repeats", 0, _MOST)
    numbers = Randomness(seed).gumbel(range(3 * count), step=0, domain=ESTIMATORS).astype(dtype)
    a, b, c = numbers.reshape(3, count)
    bits = np.dtype(f"u{numbers.itemsize}")
    left, right = (a + b) + c, a + (b + c)
    first = numbers.sum()
    return FloatAddition(
        count,
        int(((a + b).view(bits) != (b + a).view(bits)).sum()),
        int((left != right).sum()),
        float(np.abs(left.astype(np.float64) - right.astype(np.float64)).max()),
        sum(numbers.sum().tobytes() != first.tobytes() for _ in range(again)),
    )
