"""Random logits without ties: from 5 tokens to 151,936, heavy and flat tails, some as float16 rounds them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["Logits", "normal_rows", "rows"]

Logits = NDArray[np.float32]


@cache
def rows(small: int = 930, medium: int = 60, large: int = 10, seed: int = 0) -> tuple[Logits, ...]:
    """So many rows of 5 to 300, 300 to 5,000 and 30,000 to 151,936 tokens, each float32[V] with V distinct values."""
    rng = np.random.default_rng(seed)
    sizes = [
        *np.exp(rng.uniform(np.log(5), np.log(300), small)).astype(int).tolist(),
        *np.exp(rng.uniform(np.log(300), np.log(5_000), medium)).astype(int).tolist(),
        *([151_936, 32_000] * large)[:large],
    ]
    return tuple(_row(rng, size) for size in sizes)


def _row(rng: np.random.Generator, size: int) -> Logits:
    for row in _attempts(rng, size):
        distinct = rng.permutation(np.unique(row))
        if len(distinct) >= min(size, 10_000):
            distinct[:size].flags.writeable = False
            return distinct[:size]
    raise AssertionError("unreachable")


def _attempts(rng: np.random.Generator, size: int) -> Iterator[Logits]:
    count = size + size // 10 + 1  # some are lost as ties
    while True:
        kind = rng.integers(4)
        if kind == 0:
            row = rng.normal(0, rng.uniform(0.5, 4), count)
        elif kind == 1:  # a heavy tail: the r-th token has a probability like r ** -a
            row = -rng.uniform(0.8, 2.5) * np.log(np.arange(1, count + 1)) + rng.normal(0, 0.1, count)
        elif kind == 2:  # flat
            row = rng.normal(0, 0.1, count)
        else:  # a few leaders far above the rest
            row = rng.normal(0, 2.2, count)
            leaders = rng.choice(count, min(count, int(rng.integers(1, 30))), replace=False)
            row[leaders] = rng.normal(8, 1.5, len(leaders))
        row = row + rng.normal(0, 5)
        yield (row.astype(np.float16) if rng.random() < 0.3 else row).astype(np.float32)


def normal_rows(count: int, size: int, seed: int, spread: float = 3.0) -> list[Logits]:
    """Rows of N(0, spread), no two logits of a row equal."""
    noise, made = np.random.default_rng(seed), []
    while len(made) < count:
        row = noise.normal(0, spread, size).astype(np.float32)
        if len(np.unique(row)) == size:
            made.append(row)
    return made
