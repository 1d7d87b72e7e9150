"""Whether a text was drawn with a seed: found where it was, and nowhere else more often than the p-value says."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from decodekit import Chain, ParameterError, Randomness, Session, was_drawn_with
from decodekit.draw.detection import log_gamma_tail
from decodekit.testing import TableAdapter

SIZE = 50


def row(ids: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(list(ids[-2:])).normal(0, 1.5, SIZE).astype(np.float32)


TABLE = TableAdapter(row, SIZE)


def drawn(seed: int, **options: int) -> list[int]:
    return list(Session(TABLE, Chain([]), seed=seed).generate([1], max_tokens=60, **options).token_ids)


def test_the_sum_is_that_of_the_numbers_of_the_drawn_tokens() -> None:
    ids = drawn(42)
    numbers = [Randomness(42).uniform([token], step=step)[0] for step, token in enumerate(ids)]
    found = was_drawn_with(ids, 42, offsets=(0,))
    assert found.statistic == pytest.approx(-np.log1p(-np.array(numbers)).sum(), rel=1e-12)
    assert (found.scored, found.offset) == (60, 0) and found.log_p_value < -40


def test_other_seeds_and_streams_are_not_found() -> None:
    ids, other_stream = drawn(42), drawn(42, stream=3)
    assert was_drawn_with(other_stream, 42, 3).log_p_value < -40
    for found in (was_drawn_with(ids, 43), was_drawn_with(ids, 42, 3), was_drawn_with(other_stream, 42)):
        assert found.log_p_value > math.log(0.001)
    assert was_drawn_with(Session(TABLE, Chain([], "greedy"), seed=42).generate([1]).token_ids, 42).p_value > 0.001


@pytest.mark.parametrize(("cut", "offset"), [(slice(5, None), 5), (slice(0, 40), 0)])
def test_a_part_of_a_text_is_found_at_its_place(cut: slice, offset: int) -> None:
    found = was_drawn_with(drawn(42)[cut], 42)
    assert found.offset == offset and found.log_p_value < -30


def test_additional_tokens_before_the_text_are_left_out() -> None:
    found = was_drawn_with([7, 7, 7, *drawn(42)], 42)
    assert (found.offset, found.scored) == (-3, 60) and found.log_p_value < -40


def test_more_offsets_cost_the_logarithm_of_their_number() -> None:
    ids = drawn(42)
    alone, many = was_drawn_with(ids, 42, offsets=(0,)), was_drawn_with(ids, 42, offsets=range(-50, 50))
    assert many.log_p_value == pytest.approx(alone.log_p_value + math.log(100), rel=1e-12)


def test_false_alarms_are_as_frequent_as_the_p_value_says() -> None:
    ids = np.random.default_rng(0).integers(0, SIZE, 60).tolist()
    p = np.sort([was_drawn_with(ids, seed, offsets=(0,)).p_value for seed in range(400)])
    # Kolmogorov and Smirnov: uniform p-values are this far from the diagonal with probability 1e-6.
    assert np.abs(p - np.arange(1, 401) / 400).max() < math.sqrt(math.log(2 / 1e-6) / 800)
    corrected = [was_drawn_with(ids, seed).p_value for seed in range(100)]
    assert sum(each < 0.05 for each in corrected) < 19  # at most 5 are expected; 19 or more have p < 1e-6


def test_the_ids_of_nothing_are_no_evidence() -> None:
    assert was_drawn_with([], 42) == was_drawn_with((), 42, offsets=(0,))
    assert (was_drawn_with([], 42).log_p_value, was_drawn_with([3], 42, offsets=(-5,)).scored) == (0.0, 0)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (([1, -1], 42), "an id"),
        (([1, 0.5], 42), "an id"),
        (([1], None), "seed"),
        (([1], 2**64), "seed"),
        (([1], 42, -1), "stream"),
    ],
)
def test_what_is_no_number_is_named(arguments: tuple, named: str) -> None:
    with pytest.raises(ParameterError, match=named):
        was_drawn_with(*arguments)
    with pytest.raises(ParameterError, match="offset"):
        was_drawn_with([1], 42, offsets=())


@pytest.mark.parametrize(("total", "count"), [(1, 1), (3, 2), (40, 5), (200, 60), (7, 60), (900, 300)])
def test_the_tail_is_the_sum_of_its_definition(total: int, count: int) -> None:
    exact = sum(Fraction(total) ** k / math.factorial(k) for k in range(count))
    logarithm = math.log(exact.numerator) - math.log(exact.denominator)
    assert log_gamma_tail(total, count) == pytest.approx(min(0.0, logarithm - total), abs=1e-9, rel=1e-12)


def test_the_tail_has_a_logarithm_where_it_is_too_small_for_a_float() -> None:
    found = was_drawn_with(np.argmax([Randomness(1).uniform(range(2000), step=i) for i in range(200)], axis=1), 1)
    assert found.p_value == 0.0 and -1200 < found.log_p_value < -745
    assert log_gamma_tail(0.0, 5) == log_gamma_tail(3.0, 0) == 0.0
