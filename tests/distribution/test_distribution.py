"""A distribution against brute force: every number by math.fsum, every selection by sorting a list."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from decodekit import Distribution, DistributionError, EmptySupport

from .forms import FOUR, build, log_z, ranking, scores, shapes

LOG = math.log


# -- building -----------------------------------------------------------------------------------------------------


def test_four_tokens_have_the_numbers_of_the_textbook() -> None:
    dist = Distribution.dense(FOUR)
    assert dist.log_normalizer == pytest.approx(3)
    assert np.exp(dist.logprobs).tolist() == pytest.approx([1 / 8, 1 / 2, 1 / 4, 1 / 8])
    # 1/8*3 + 1/2*1 + 1/4*2 + 1/8*3 = 1.75 bits; the variance is 1/8*9 + 1/2 + 1/4*4 + 1/8*9 - 1.75**2 = 0.6875 bits**2
    assert dist.entropy == pytest.approx(1.75 * LOG(2)) and dist.varentropy == pytest.approx(0.6875 * LOG(2) ** 2)
    assert (dist.mode, dist.order.tolist(), dist.support().tolist()) == (1, [1, 2, 0, 3], [0, 1, 2, 3])
    assert [dist.rank(i) for i in range(4)] == [2, 0, 1, 2]  # 0 and 3 are tied
    assert dist.surprisal(2) == pytest.approx(LOG(4)) and dist.tail is None and dist.token_ids is None


@pytest.mark.parametrize(
    ("row", "kind", "says"),
    [
        ([0, math.nan, 1, math.nan], DistributionError, "2 of 4 scores are NaN"),
        ([0, math.inf], DistributionError, r"1 of 2 scores are \+inf"),
        ([math.inf, math.nan], DistributionError, "NaN"),
        ([-math.inf, -math.inf], EmptySupport, "no token has probability"),
        ([], DistributionError, "one row"),
        ([[0.0, 1.0]], DistributionError, r"shape \(1, 2\)"),
        (3.0, DistributionError, "one row"),
    ],
)
def test_numbers_that_are_no_distribution_are_typed_errors(row: object, kind: type, says: str) -> None:
    for dtype in (np.float32, np.float64):
        with pytest.raises(kind, match=says):
            Distribution.dense(np.array(row, dtype=dtype))


@pytest.mark.parametrize("spoil", [[math.nan, 0, 0, 0], [math.inf, 0, 0, 0], [-math.inf] * 4])
def test_new_scores_and_biases_that_spoil_a_row_are_typed_errors(spoil: list[float]) -> None:
    for dist in (Distribution.dense(FOUR), Distribution.dense([*FOUR, 0.0]).top(4)):
        with pytest.raises(DistributionError):
            dist.with_scores(spoil)
        with pytest.raises(DistributionError):
            dist.add([0, 1, 2, 3, 4][: dist.vocab_size], [*spoil, -math.inf][: dist.vocab_size])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32])
def test_the_row_is_copied_and_half_floats_and_integers_are_widened(dtype: type) -> None:
    buffer = np.array([1, 2, 3, 0], dtype=dtype)
    dist = Distribution.dense(buffer)
    buffer[:] = 0
    assert dist.mode == 2 and dist.scores.tolist() == [1, 2, 3, 0] and dist.scores.dtype == np.float64


def test_a_distribution_and_all_its_arrays_are_read_only() -> None:
    dense = Distribution.dense(np.linspace(0, 1, 2000))
    head = Distribution.head([3, 1], [LOG(0.5), LOG(0.25)], 5)
    derived = [dense.top(5), dense.nucleus(0.5), dense.threshold(0.9), dense.keep([4, 2]), dense.scaled(2.0)]
    derived += [dense.with_scores(np.ones(2000)), dense.add([1], [1.0]), head.scaled(2.0), head.truncated()]
    for dist in (dense, head, *derived):
        with pytest.raises(AttributeError, match="never changes"):
            dist.vocab_size = 1
        with pytest.raises(AttributeError, match="never changes"):
            del dist.vocab_size
        arrays = [dist.scores, dist.token_ids, dist.leading(2)[0]]
        arrays += [dist.order, dist.logprobs] if dist.tail is None else []
        for array in arrays:
            if array is not None and len(array):
                with pytest.raises(ValueError, match="read-only"):
                    array[0] = 7
    assert dense.scores.tolist() == np.linspace(0, 1, 2000).tolist()
    with pytest.raises(TypeError, match=r"Distribution\.dense"):
        Distribution()


def test_new_scores_are_copied() -> None:
    row = np.array(FOUR)
    dist = Distribution.dense(FOUR).with_scores(row)
    row[:] = 0
    assert dist.scores.tolist() == FOUR


def test_a_distribution_can_be_copied_and_pickled() -> None:
    for dist in (Distribution.dense(FOUR), Distribution.dense(FOUR).top(2), Distribution.head([1], [LOG(0.5)], 4)):
        for twin in (copy.copy(dist), copy.deepcopy(dist), pickle.loads(pickle.dumps(dist))):
            assert twin.scores.tolist() == dist.scores.tolist() and twin.tail == dist.tail


def test_what_a_provider_did_stays_on_record_and_a_processor_changes_the_stage() -> None:
    schedule = {"rows": 3}
    dist = Distribution.dense(FOUR, origin="logprobs", stage="unknown", temperature=0.7, schedule=schedule)
    assert (dist.origin, dist.stage, dist.temperature, dist.schedule) == ("logprobs", "unknown", 0.7, schedule)
    for after in (dist.top(2), dist.scaled(2.0), dist.add([0], [1.0]), dist.with_scores(FOUR), dist.keep([1])):
        assert (after.origin, after.stage, after.temperature) == ("logprobs", "processed", 0.7)
        assert after.schedule == schedule and after.vocab_size == 4


# -- numbers ------------------------------------------------------------------------------------------------------


@settings(max_examples=200)
@given(scores, shapes)
@example([0.0], "sparse")
@example([-math.inf, 2.0, -math.inf], "float32")
def test_normaliser_entropy_ranks_and_order_equal_brute_force(row: list[float], shape: str) -> None:
    dist, z = build(row, shape), log_z(row)
    p = [math.exp(x - z) for x in row]
    entropy = -math.fsum(q * LOG(q) for q in p if q > 0)
    varentropy = math.fsum(q * (-LOG(q) - entropy) ** 2 for q in p if q > 0)
    assert dist.log_normalizer == pytest.approx(z, rel=1e-14, abs=1e-13)
    assert dist.entropy == pytest.approx(entropy, rel=1e-12, abs=1e-13)
    assert dist.varentropy == pytest.approx(varentropy, rel=1e-11, abs=1e-12)
    assert dist.mode == ranking(row)[0] and dist.order.tolist() == ranking(row)
    assert dist.support_size == len(ranking(row)) and sorted(dist.support().tolist()) == sorted(ranking(row))
    assert dist.logprobs_of(range(len(row))).tolist() == pytest.approx([x - z for x in row], abs=1e-12)
    assert [dist.rank(i) for i in range(len(row))] == [sum(y > x for y in row) for x in row]
    for name in ("entropy", "varentropy", "log_normalizer", "tail_mass"):
        low, high = dist.bounds(name)
        assert low == high == (0.0 if name == "tail_mass" else getattr(dist, name))
    ids, logprobs = dist.leading(3)
    assert ids.tolist() == ranking(row)[:3] and logprobs.tolist() == pytest.approx([row[i] - z for i in ids], abs=1e-12)


@settings(max_examples=150)
@given(scores, scores, shapes, shapes)
def test_divergences_equal_brute_force(one: list[float], two: list[float], shape: str, other: str) -> None:
    size = min(len(one), len(two))
    one, two = one[:size], two[:size]
    assume(max(one) > -math.inf and max(two) > -math.inf)
    p, q = build(one, shape), build(two, other)
    ps, qs = ([math.exp(x - log_z(row)) for x in row] for row in (one, two))

    def kl(a: list[float], b: list[float]) -> float:
        if any(x > 0 and y == 0 for x, y in zip(a, b, strict=True)):
            return math.inf
        return math.fsum(x * (LOG(x) - LOG(y)) for x, y in zip(a, b, strict=True) if x > 0)

    middle = [(x + y) / 2 for x, y in zip(ps, qs, strict=True)]
    assert p.kl(q) == pytest.approx(kl(ps, qs), rel=1e-10, abs=1e-12) and p.kl(q) >= 0
    assert p.js(q) == pytest.approx((kl(ps, middle) + kl(qs, middle)) / 2, rel=1e-9, abs=1e-12)
    assert p.tv(q) == pytest.approx(math.fsum(abs(x - y) for x, y in zip(ps, qs, strict=True)) / 2, abs=1e-12)
    assert 0 <= p.js(q) <= LOG(2) and 0 <= p.tv(q) <= 1
    assert p.kl(p) == 0 and p.js(p) == pytest.approx(0, abs=1e-15) and p.tv(p) == 0


@settings(max_examples=100)
@given(scores, st.floats(0.05, 20), st.floats(0.05, 20))
def test_two_temperatures_of_one_row_diverge_as_the_formula_says(row: list[float], one: float, two: float) -> None:
    dist = Distribution.dense(np.array(row, dtype=np.float32))
    p, q = dist.scaled(one), dist.scaled(two)
    plain = Distribution.dense(p.scores).kl(Distribution.dense(q.scores))
    assert p.kl(q) == pytest.approx(plain, rel=1e-9, abs=1e-10)


def test_a_divergence_of_very_unlikely_tokens_is_not_rounded_away() -> None:
    # q gives exp(-2000) to the token that p is sure of, and masks the third.
    p, q = Distribution.dense([0.0, -math.inf, -math.inf]), Distribution.dense([-2000.0, 0.0, -math.inf])
    assert p.kl(q) == 2000.0 and q.kl(p) == math.inf
    assert p.keep([0]).kl(q.top(2)) == 2000.0


def test_numbers_of_a_large_vocabulary_hold_in_the_last_piece_too() -> None:
    row = np.random.default_rng(1).normal(0, 3, 151_936).astype(np.float32)
    row[[0, 16_383, 16_384, 151_935]] = [12, 13, 14, 15]
    row[200:300] = -np.inf
    dist, exact = Distribution.dense(row), row.astype(np.float64)
    z = np.log(np.exp(exact).sum())
    p = np.exp(exact - z)
    surprisal = np.where(p > 0, z - exact, 0)
    assert dist.log_normalizer == pytest.approx(z, abs=1e-12)
    assert dist.entropy == pytest.approx(p @ surprisal, abs=1e-11)
    assert dist.varentropy == pytest.approx(p @ (surprisal - p @ surprisal) ** 2, abs=1e-10)
    other = Distribution.dense(np.where(np.isinf(row), row, row[::-1]))
    gap = np.where(p > 0, exact - z - np.where(p > 0, other.logprobs_of(range(len(row))), 0), 0)
    assert dist.kl(other) == pytest.approx(math.inf if np.isinf(gap).any() else p @ gap, rel=1e-10)


def test_a_distribution_shows_itself_in_consoles_and_notebooks() -> None:
    dist = Distribution.dense(FOUR)
    assert repr(dist) == "Distribution(dense, 4 of 4, raw, {1: 0.5, 2: 0.25, 0: 0.125, …})"
    assert "1.213 nats" in dist._repr_html_() and "<script" not in dist._repr_html_()
    head = Distribution.head([3, 1], [LOG(0.5), LOG(0.25)], 5)
    assert repr(head) == "Distribution(head, 2 of 5, raw, {3: 0.5, 1: 0.25, …})"
    assert " to " in head._repr_html_() and repr(head.scaled(2.0)).startswith("Distribution(head")


@pytest.mark.parametrize("shape", ["float64", "sparse"])
@pytest.mark.parametrize("offset", [-1e16, -1e6, 1e6, 1e10, 1e13, 1e16, 1e38])
def test_probabilities_sum_to_one_at_any_offset(offset: float, shape: str) -> None:
    dist = build([offset] * 3, shape)
    for each, size in ((dist, 3), (dist.scaled(1 / 0.7), 3), (dist.top(2), 2), (dist.top(2).scaled(0.3), 2)):
        np.testing.assert_allclose(np.exp(each.logprobs), [1 / size] * size, rtol=1e-14)
        assert math.exp(each.logprob(1)) == pytest.approx(1 / size, rel=1e-14)
        assert np.exp(each.leading(3)[1]).sum() == pytest.approx(1, rel=1e-14)
    assert dist.top(2).kl(dist) == pytest.approx(math.log(3 / 2), rel=1e-12)


@pytest.mark.parametrize("shape", ["float64", "sparse"])
def test_a_temperature_keeps_the_differences_of_scores_with_a_large_offset(shape: str) -> None:
    row, offset = np.array([0.0, 2.0, -4.0]), 2.0**53
    hot = build((row + offset).tolist(), shape).scaled(1 / 0.7)
    np.testing.assert_allclose(hot.logprobs_of([0, 1, 2]), Distribution.dense(row / 0.7).logprobs, rtol=1e-14)
    assert build(row.tolist(), shape).scaled(2).score(1) == 4.0  # and a usual offset stays in the scores


@pytest.mark.parametrize("row", [[1e308], [-1e308] * 3, [1e308, -1e308]])
def test_a_largest_score_that_no_difference_can_be_taken_of_is_a_typed_error(row: list[float]) -> None:
    with pytest.raises(DistributionError, match=r"largest score is -?1e\+308"):
        Distribution.dense(row)


@pytest.mark.parametrize("shape", ["float64", "sparse"])
@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0, 1e200])
def test_a_score_that_is_nearly_the_least_of_all_floats_has_no_probability_and_no_nan(
    factor: float, shape: str
) -> None:
    dist = build([0.0, -1e308, 0.0], shape).scaled(factor)
    assert (dist.entropy, dist.varentropy, dist.logprob(2)) == (math.log(2), 0.0, -math.log(2))
    assert dist.support_size == len(dist.support()) == np.count_nonzero(dist.scores > -math.inf)
