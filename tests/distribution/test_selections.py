"""What is kept and how scores change, against sorted lists; then selections on large vocabularies."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from decodekit import Distribution, DistributionError, EmptySupport, ParameterError
from decodekit.distribution import AMBIGUITY

from .forms import as_dict, build, log_z, ranking, scores, shapes

LOG = math.log


# -- reshaping ----------------------------------------------------------------------------------------------------


@settings(max_examples=150)
@given(scores, shapes, st.integers(1, 45))
def test_top_keeps_the_first_k_and_the_lowest_ids_at_the_edge(row: list[float], shape: str, k: int) -> None:
    kept = build(row, shape).top(k)
    assert as_dict(kept) == {i: row[i] for i in ranking(row)[:k]}
    assert kept.order.tolist() == ranking(row)[:k]


def brute_nucleus(row: list[float], p: float, min_keep: int) -> list[int]:
    z, mass, kept = log_z(row), 0.0, []
    for i in ranking(row):
        if mass >= p and len(kept) >= min_keep:
            break
        kept.append(i)
        mass += math.exp(row[i] - z)
    return kept


@settings(max_examples=200)
@given(scores, shapes, st.floats(1e-6, 1 - 1e-6), st.integers(1, 12))
def test_a_nucleus_is_the_shortest_leading_list_that_reaches_p(
    row: list[float], shape: str, p: float, min_keep: int
) -> None:
    kept = build(row, shape).nucleus(p, min_keep)
    assume(not kept.ambiguous)
    assert kept.order.tolist() == brute_nucleus(row, p, min_keep)


@settings(max_examples=150)
@given(scores, shapes, st.integers(-90, 50).map(lambda n: n / 4 + 0.1), st.integers(1, 12))
def test_a_threshold_keeps_what_reaches_it_and_at_least_min_keep(
    row: list[float], shape: str, score: float, min_keep: int
) -> None:
    kept = build(row, shape).threshold(score, min_keep)
    passing = [i for i in ranking(row) if row[i] >= score]
    assert kept.order.tolist() == (passing if len(passing) >= min_keep else ranking(row)[:min_keep])
    assert not kept.ambiguous


@settings(max_examples=150)
@given(scores, shapes, st.integers(-90, 50).map(lambda n: n / 4), st.integers(1, 45))
def test_the_tokens_that_reach_a_score_and_the_first_ones_come_with_their_scores(
    row: list[float], shape: str, score: float, k: int
) -> None:
    dist = build(row, shape)
    ids, reached = dist.reaching(score)
    assert dict(zip(ids.tolist(), reached.tolist(), strict=True)) == {i: x for i, x in enumerate(row) if x >= score}
    ids, leading = dist.ranked(k)
    assert ids.tolist() == ranking(row)[:k] and leading.tolist() == [row[i] for i in ranking(row)[:k]]
    assert dist.max_score == max(row)


@settings(max_examples=100)
@given(scores, shapes, st.integers(1, 45))
def test_a_decision_on_its_boundary_can_be_marked(row: list[float], shape: str, k: int) -> None:
    dist = build(row, shape)
    for plain, marked in (
        (dist.top(k), dist.top(k, ambiguous=True)),
        (dist.keep(dist.support()), dist.keep(dist.support(), ambiguous=True)),
        (dist.keep(dist.scores > -math.inf), dist.keep(dist.scores > -math.inf, ambiguous=True)),
    ):
        assert marked.ambiguous and not plain.ambiguous and as_dict(marked) == as_dict(plain)


@settings(max_examples=150)
@given(scores, shapes, st.data())
def test_keep_takes_ids_in_any_form_or_a_mask(row: list[float], shape: str, data: st.DataObject) -> None:
    dist = build(row, shape)
    wanted = data.draw(st.lists(st.integers(0, len(row) - 1), max_size=len(row)))
    alive = {i: row[i] for i in wanted if row[i] > -math.inf}
    mask = np.isin(np.arange(len(row)) if dist.token_ids is None else dist.token_ids, wanted)
    forms = [wanted, set(wanted), np.array(wanted, dtype=np.int32), tuple(wanted), iter(wanted), mask, mask.tolist()]
    for form in forms:
        if alive:
            assert as_dict(dist.keep(form)) == alive
        else:
            with pytest.raises(EmptySupport):
                dist.keep(form)


@settings(max_examples=100)
@given(scores, shapes, st.floats(0.01, 50), st.data())
def test_scaling_adding_and_new_scores_act_on_every_token(
    row: list[float], shape: str, factor: float, data: st.DataObject
) -> None:
    dist = build(row, shape)
    everyone = range(len(row))
    assert dist.scaled(factor).scores_of(everyone).tolist() == pytest.approx([x * factor for x in row], rel=1e-12)
    ids = data.draw(st.lists(st.sampled_from(everyone), max_size=10))
    values = data.draw(st.lists(st.integers(-40, 40).map(float), min_size=len(ids), max_size=len(ids)))
    added = list(row)
    for i, value in zip(ids, values, strict=True):
        added[i] += value  # a token named twice gets both
    assert dist.add(ids, values).scores_of(everyone).tolist() == added
    assert dist.add(ids, values).order.tolist() == ranking(added)
    fresh = dist.with_scores(dist.scores * 2)
    assert fresh.scores_of(everyone).tolist() == [x * 2 for x in row]


@pytest.mark.parametrize("shape", ["float32", "float64", "sparse", "scaled"])
def test_minus_infinity_bans_a_token_and_banning_all_is_an_empty_support(shape: str) -> None:
    dist = build([0.0, 1.0, 2.0, 3.0], shape)
    assert dist.add([3, 1], [-math.inf, 0.5]).order.tolist() == [2, 1, 0]
    assert dist.with_scores(np.where(dist.scores == 3, -math.inf, dist.scores)).order.tolist() == [2, 1, 0]
    with pytest.raises(EmptySupport):
        dist.add([0, 1, 2, 3], -math.inf)
    for bad in (math.nan, math.inf):
        with pytest.raises(DistributionError):
            dist.add([0], [bad])


@pytest.mark.parametrize("shape", ["float32", "sparse"])
def test_questions_that_make_no_sense_are_typed_errors(shape: str) -> None:
    dist = build([0.0, 1.0, 2.0, 3.0], shape)
    for factor in (0, -1, math.inf, math.nan):
        with pytest.raises(ParameterError):
            dist.scaled(factor)
    for p in (0, -0.1, 1.1, math.nan):
        with pytest.raises(ParameterError):
            dist.nucleus(p)
    for question in (lambda: dist.top(0), lambda: dist.keep([True, False]), lambda: dist.threshold(-math.inf)):
        with pytest.raises(ParameterError):
            question()
    for bad in (-1, dist.vocab_size):
        for question in (dist.logprob, lambda i: dist.keep([i]), lambda i: dist.add([i], [1.0])):
            with pytest.raises(ParameterError, match=f"token id {bad} lies outside the vocabulary of"):
                question(bad)
    with pytest.raises(ParameterError, match="tail_mass"):
        dist.bounds("enthropy")  # type: ignore[arg-type]
    with pytest.raises(DistributionError, match="do not fit"):
        dist.with_scores([1.0])


def test_factors_that_cannot_be_held_are_refused_instead_of_losing_all_scores() -> None:
    dist = Distribution.dense([0.0, -math.inf, 1.0]).scaled(1e-200)
    with pytest.raises(ParameterError):
        dist.scaled(1e-200)


def test_a_decision_within_a_billionth_of_its_boundary_is_ambiguous_and_stays_so() -> None:
    quarters = Distribution.dense([LOG(0.25)] * 4)
    near, clear = quarters.nucleus(0.5), quarters.nucleus(0.6)
    assert near.ambiguous and near.top(1).ambiguous and near.scaled(2.0).ambiguous
    assert not clear.ambiguous and clear.support_size == 3
    assert quarters.nucleus(0.5 + 2 * AMBIGUITY).support_size == 3
    for dist in (quarters, quarters.add([0], [1.0]).top(3)):
        assert dist.threshold(LOG(0.25) - AMBIGUITY / 2).ambiguous
        assert not dist.threshold(LOG(0.25) - 1.1 * AMBIGUITY).ambiguous


# -- selections on large vocabularies -----------------------------------------------------------------------------


def reference_order(row: np.ndarray) -> np.ndarray:
    order = np.argsort(-row, kind="stable")
    return order[row[order] > -np.inf]


@pytest.mark.parametrize("size", [1, 7, 127, 128, 129, 1000, 32_000, 151_936])
@pytest.mark.parametrize("kind", ["normal", "tied", "flat", "packed", "masked"])
def test_the_leaders_are_exact_however_ties_and_peaks_lie(size: int, kind: str) -> None:
    rng = np.random.default_rng([size, len(kind)])
    row = rng.normal(0, 3, size).astype(np.float32)
    if kind == "tied":
        row = np.round(row)
    if kind == "flat":
        row[:] = 1.5
    if kind == "packed":  # all large scores in one of the blocks of which the selection takes the maxima
        row[::1024] += 100
    if kind == "masked":
        row[rng.random(size) < 0.999] = -np.inf
        row[-1] = 0
    expected = reference_order(row)
    for k in sorted({1, 2, 40, size // 200 + 1, size // 50 + 1, size // 9 + 1, size // 2 + 1, size}):
        dist = Distribution.dense(row)
        ids, scores_ = dist.row.first(k)
        assert np.array_equal(ids, expected[:k]) and np.array_equal(scores_, row[expected[:k]].astype(np.float64))
        assert np.array_equal(dist.top(k).order, expected[:k])
        assert np.array_equal(dist.row.first(k // 2 + 1)[0], expected[: k // 2 + 1])  # from what is sorted already
        scaled = dist.scaled(0.5).scaled(3.0).row
        assert np.array_equal(scaled.first(k)[0], expected[:k])
        assert np.array_equal(scaled.first(k)[1], row[expected[:k]].astype(np.float64) * 1.5)


@pytest.mark.parametrize("size", [300, 5000, 151_936])
def test_the_nucleus_of_a_flat_distribution_is_the_first_ids(size: int) -> None:
    kept = Distribution.dense(np.zeros(size, dtype=np.float32)).nucleus(0.9001)
    assert np.array_equal(kept.order, np.arange(math.ceil(0.9001 * size)))


def test_a_nucleus_that_only_the_whole_support_reaches_is_the_whole_support() -> None:
    row = np.zeros(3000)
    row[1000:] = -np.inf
    dist = Distribution.dense(row)
    for p in (1 - 1e-16, 1 - 1e-12, 1.0):
        assert dist.nucleus(p).support_size == 1000
        assert dist.top(1000).nucleus(p).support_size == 1000


def test_min_keep_reaches_beyond_the_first_window() -> None:
    row = np.zeros(5000)
    row[7] = 50.0
    for dist in (Distribution.dense(row), Distribution.dense(row).top(4999)):
        assert dist.nucleus(0.5, min_keep=1000).order.tolist() == [7, *range(7), *range(8, 1000)]
        assert dist.threshold(40.0, min_keep=1000).order.tolist() == [7, *range(7), *range(8, 1000)]


def test_many_survivors_stay_dense_and_few_become_a_list() -> None:
    dist = Distribution.dense(np.arange(1000.0))
    many, few = dist.keep(range(500)), dist.keep(range(50))
    assert many.token_ids is None and many.order.tolist() == [*range(499, -1, -1)]
    assert few.token_ids is not None and few.token_ids.tolist() == [*range(49, -1, -1)]
