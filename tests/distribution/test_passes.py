"""Passes over a whole row, each against NumPy on the row as it is."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decodekit import DistributionError, EmptySupport
from decodekit.distribution.passes import FAR, block_maxima, check, leaders, pieces, rising

# Few distinct values make ties; -inf makes masks.
rows = st.lists(st.integers(-3, 3).map(float) | st.just(-math.inf), min_size=1, max_size=700).filter(
    lambda row: max(row) > -math.inf
)


@settings(max_examples=150)
@given(rows, st.data())
def test_the_leaders_hold_every_token_that_could_be_among_the_first_k(row: list[float], data: st.DataObject) -> None:
    values = np.array(row, dtype=np.float32)
    k = data.draw(st.integers(1, len(row)))
    maxima = block_maxima(values, data.draw(st.integers(1, len(row))))
    assert maxima.tolist() == [max(row[block :: len(maxima)]) for block in range(len(maxima))]
    found = leaders(values, k, maxima)
    assert (np.diff(found) > 0).all() and len(found) >= k
    others = np.setdiff1d(np.arange(len(row)), found)
    assert len(others) == 0 or values[others].max() <= values[found].min()
    assert set(np.argsort(-values, kind="stable")[:k].tolist()) <= set(found.tolist())


@pytest.mark.parametrize("size", [1024, 20_000, 151_936])
def test_few_are_found_where_scores_are_spread_out(size: int) -> None:
    values = np.random.default_rng(size).normal(size=size).astype(np.float32)
    for k in (1, 20, 256):
        if k < size // 128:  # k leads its block of 128 in most cases; that many blocks there are
            assert k <= len(leaders(values, k, block_maxima(values))) <= 8 * k


def test_a_selection_of_most_tokens_is_all_of_them() -> None:
    flat = np.zeros(64, dtype=np.float32)
    assert leaders(flat, 8, flat).tolist() == list(range(64))
    assert leaders(np.array([3.0]), 1, np.array([3.0])).tolist() == [0]


@pytest.mark.parametrize("size", [1, 16_384, 16_385, 40_000])
@pytest.mark.parametrize("scale", [1.0, 0.3, 7.0])
def test_pieces_put_together_are_the_shifted_scores_and_their_exponentials(size: int, scale: float) -> None:
    values = np.random.default_rng(size).normal(0, 5, size).astype(np.float32)
    largest = float(values.max())
    expected = (values.astype(np.float64) - largest) * scale
    end = 0
    for start, shifted, weights in pieces(values, largest, scale, deep=False):
        assert start == end
        end = start + len(shifted)
        np.testing.assert_allclose(shifted, expected[start:end], rtol=1e-12)
        np.testing.assert_allclose(weights, np.exp(expected[start:end]), rtol=1e-12)
    assert end == size


def test_pieces_of_two_rows_that_are_read_in_turns_do_not_overwrite_each_other() -> None:
    one, two = np.zeros(20_000), np.full(20_000, -1.0)
    for (_, first, _), (_, second, _) in zip(
        pieces(one, 0.0, 1.0, deep=False), pieces(two, 0.0, 1.0, deep=False), strict=True
    ):
        assert (first == 0).all() and (second == -1).all()


@pytest.mark.parametrize("scale", [0.5, 1.0, 1e100])
def test_a_masked_token_weighs_nothing_and_its_square_is_a_number(scale: float) -> None:
    values = np.array([0.0, -math.inf, -1e300])
    ((_, shifted, weights),) = pieces(values, 0.0, scale, deep=True)
    assert weights.tolist() == [1.0, 0.0, 0.0] and shifted.min() >= -FAR
    assert np.isfinite(weights * shifted**2).all()


def test_a_sound_row_answers_with_its_largest_score() -> None:
    assert check(np.array([-math.inf, 2.5, -1.0])) == 2.5


@pytest.mark.parametrize(
    ("row", "kind", "says"),
    [
        ([0.0, math.nan], DistributionError, "1 of 2 scores are NaN"),
        ([math.inf, 0.0], DistributionError, r"1 of 2 scores are \+inf"),
        ([-math.inf], EmptySupport, "every score is -inf"),
        ([2e305, 0.0], DistributionError, "largest score"),
    ],
)
def test_a_row_that_is_not_sound_is_a_typed_error(row: list[float], kind: type, says: str) -> None:
    with pytest.raises(kind, match=says):
        check(np.array(row))


@given(st.lists(st.integers(0, 9), max_size=6))
def test_distinct_ids_in_rising_order(ids: list[int]) -> None:
    given_ids = np.array(ids, dtype=np.int64)
    found = rising(given_ids)
    assert found.tolist() == sorted(set(ids)) and (found is given_ids) == (ids == sorted(set(ids)))
