"""Passes over a whole row: which tokens lead it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from decodekit.distribution.passes import leaders

SCORES = st.one_of(st.sampled_from([-np.inf, 0.0, 1.0, 1.5]), st.floats(-5, 5, width=32))


def surely_contained(row: NDArray[np.floating[Any]], k: int) -> set[int]:
    """All that the k-th largest score does not exceed, ties included."""
    return set(np.flatnonzero(row >= np.sort(row)[-min(k, len(row))]).tolist())


@given(st.lists(SCORES, min_size=1, max_size=600), st.integers(1, 70))
def test_the_k_largest_and_their_equals_are_among_the_leaders(scores: list[float], k: int) -> None:
    row = np.array(scores, dtype=np.float32)
    found = leaders(row, k).tolist()
    assert found == sorted(set(found))
    assert surely_contained(row, k) <= set(found)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_of_a_row_of_a_real_size_few_are_left(dtype: type) -> None:
    row = np.random.default_rng(0).normal(size=50_000).astype(dtype)
    for k in (1, 7, 64, 500):
        found = leaders(row, k).tolist()
        assert surely_contained(row, k) <= set(found) and len(found) < 2 * k + 8
