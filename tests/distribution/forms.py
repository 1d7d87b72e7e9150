"""The same distribution in four forms, and what a list of scores says by brute force."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

from decodekit import Distribution

__all__ = ["FOUR", "as_dict", "build", "log_z", "ranking", "scores", "shapes"]

LOG = math.log
# Four tokens with probabilities 1/8, 1/2, 1/4, 1/8; the scores carry an offset of 3.
FOUR = [3 + LOG(1 / 8), 3 + LOG(1 / 2), 3 + LOG(1 / 4), 3 + LOG(1 / 8)]

# Quarter steps make ties; -inf makes masks; float32 takes all of them exactly.
scores = st.lists(st.integers(-80, 40).map(lambda n: n / 4) | st.just(-math.inf), min_size=1, max_size=40).filter(
    lambda row: max(row) > -math.inf
)
shapes = st.sampled_from(["float32", "float64", "sparse", "scaled"])


def build(row: list[float], shape: str) -> Distribution:
    """One distribution in one of four forms."""
    if shape == "sparse":
        return Distribution.dense([*row, -math.inf]).top(sum(x > -math.inf for x in row))
    if shape == "scaled":
        return Distribution.dense(np.array(row, dtype=np.float32) * 4).scaled(0.25)
    return Distribution.dense(np.array(row, dtype=shape))


def log_z(row: list[float]) -> float:
    return max(row) + LOG(math.fsum(math.exp(x - max(row)) for x in row))


def ranking(row: list[float]) -> list[int]:
    return sorted((i for i, x in enumerate(row) if x > -math.inf), key=lambda i: (-row[i], i))


def as_dict(dist: Distribution) -> dict[int, float]:
    ids = dist.support().tolist()
    return dict(zip(ids, dist.scores_of(ids).tolist(), strict=True))
