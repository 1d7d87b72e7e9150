"""A row as a part of its own: frozen, complete, and able to tell what it was made from."""

from __future__ import annotations

import copy
import gc
import math
import pickle

import numpy as np
import pytest

from decodekit import Distribution, DistributionError, EmptySupport, ParameterError
from decodekit.distribution.row import Row

LOG = math.log
DENSE = Distribution.dense([0.0, 3.0, -math.inf, 1.0, 3.0], origin="logprobs")
LIST = Distribution.listed([4, 1, 9], [1.0, 3.0, 3.0], 10)
HEAD = Distribution.head([1, 7], [LOG(0.5), LOG(0.25)], 10)


@pytest.mark.parametrize("dist", [DENSE, LIST, HEAD, DENSE.scaled(0.5), DENSE.top(2), LIST.scaled(2.0)])
def test_a_row_never_changes(dist: Distribution) -> None:
    row = dist.row
    for name in ("ids", "values", "scale", "source", "max_score", "anything"):
        with pytest.raises(AttributeError, match="a Row never changes"):
            setattr(row, name, None)
    with pytest.raises(AttributeError, match="a Row never changes"):
        del row.values
    with pytest.raises(AttributeError, match="a Distribution never changes"):
        dist.row = row
    for array in (row.values, row.scores, row.ids, row.first(2)[0], row.first(2)[1]):
        assert array is None or not array.flags.writeable


@pytest.mark.parametrize("dist", [DENSE, LIST, HEAD, DENSE.scaled(0.5), DENSE.top(2).scaled(2.0)])
def test_copies_and_pickles_are_the_same_and_read_only(dist: Distribution) -> None:
    dist.row.max_score  # noqa: B018 - what was computed before does not matter
    for twin in (copy.copy(dist), copy.deepcopy(dist), pickle.loads(pickle.dumps(dist))):
        assert twin.row.values.tolist() == dist.row.values.tolist() and twin.row.scale == dist.row.scale
        assert twin.row.values.dtype == dist.row.values.dtype and not twin.row.values.flags.writeable
        assert (twin.hidden, twin.vocab_size, twin.origin) == (dist.hidden, dist.vocab_size, dist.origin)
        assert (twin.stage, twin.temperature, twin.schedule) == (dist.stage, dist.temperature, dist.schedule)
        assert twin.row.max_score == dist.row.max_score


def test_a_distribution_is_equal_to_itself_only_and_can_be_a_key() -> None:
    twin = Distribution.dense([0.0, 1.0])
    assert twin == twin and twin != Distribution.dense([0.0, 1.0]) and len({twin, twin}) == 1


# -- where it comes from ----------------------------------------------------------------------------------------------


def test_a_row_knows_the_row_whose_tokens_it_holds_and_their_factor() -> None:
    raw = Distribution.dense(np.linspace(-3, 3, 50))
    for made, factor in (
        (raw.top(5), 1.0), (raw.nucleus(0.5), 1.0), (raw.keep([1, 2]), 1.0), (raw.threshold(0.0), 1.0),
        (raw.scaled(0.5), 0.5),
    ):  # fmt: skip
        assert made.row.factor_from(raw.row) == factor
        assert raw.row.factor_from(made.row) is None
    assert raw.top(5).scaled(2.0).row.factor_from(raw.row) is None  # two steps away
    for changed in (raw.add([0], [1.0]), raw.with_scores(raw.scores * 2), HEAD.truncated()):
        assert changed.row.factor_from(raw.row) is None


def test_a_row_does_not_keep_alive_what_it_was_made_from() -> None:
    raw = Distribution.dense(np.linspace(-3, 3, 50))
    other, made = Distribution.dense(np.linspace(-3, 3, 50)), raw.top(5)
    del raw
    gc.collect()
    assert made.row.source is not None and made.row.source[0]() is None
    assert made.row.factor_from(other.row) is None


# -- order and look-ups -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dist", [DENSE, LIST])
def test_the_first_tokens_are_the_same_however_many_were_asked_for_before(dist: Distribution) -> None:
    alive = dist.row.support_size
    full = Distribution.dense(DENSE.scores) if dist is DENSE else Distribution.listed([4, 1, 9], [1.0, 3.0, 3.0], 10)
    for k in (1, 3, 2, 5, 4, 5):
        ids, scores = full.row.first(k)
        assert len(ids) == min(k, alive)
        assert ids.tolist() == dist.order[:k].tolist() and scores.tolist() == dist.scores_of(ids).tolist()


def test_a_token_that_is_not_in_a_list_has_no_score_and_a_token_of_no_vocabulary_is_an_error() -> None:
    row = LIST.row
    assert (row.score(4), row.score(0)) == (1.0, None)
    assert row.scores_of(np.array([0, 9])).tolist() == [-math.inf, 3.0]
    assert DENSE.row.score(2) == -math.inf
    for ask in (row.score, DENSE.row.score):
        with pytest.raises(ParameterError, match="outside the vocabulary"):
            ask(10)


# -- the third constructor --------------------------------------------------------------------------------------------


def test_a_list_is_what_a_truncation_leaves() -> None:
    whole = Distribution.dense([0.5, 2.0, 0.5, -1.0])
    kept = whole.keep([0, 1, 2])
    stated = Distribution.listed([2, 0, 1], [0.5, 0.5, 2.0], 4)
    assert stated.token_ids is not None and kept.token_ids is None  # many survivors stay dense
    assert stated.token_ids.tolist() == kept.order.tolist() == [1, 0, 2]
    assert stated.tail is None and stated.support_size == 3 and stated.logprob(3) == -math.inf
    assert stated.entropy == pytest.approx(kept.entropy) and stated.logprobs_of([1, 2]) == pytest.approx(
        kept.logprobs_of([1, 2])
    )
    assert (stated.origin, stated.stage, stated.temperature, stated.schedule) == ("logits", "raw", 1.0, None)


def test_a_list_takes_what_the_labels_say_and_any_offset() -> None:
    dist = Distribution.listed([3], [700.0], origin="logprobs", stage="unknown", temperature=0.5, schedule={"rows": 2})
    assert (dist.vocab_size, dist.logprob(3), dist.log_normalizer) == (None, 0.0, 700.0)
    assert (dist.origin, dist.stage, dist.temperature, dist.schedule) == ("logprobs", "unknown", 0.5, {"rows": 2})


def test_tokens_without_probability_are_left_out_of_a_list_and_its_arrays_are_copies() -> None:
    ids, scores = np.array([1, 5, 3]), np.array([0.0, -math.inf, 2.0])
    dist = Distribution.listed(ids, scores, 6)
    ids[:], scores[:] = 0, 0
    assert dist.token_ids is not None and dist.token_ids.tolist() == [3, 1] and dist.scores.tolist() == [2.0, 0.0]


@pytest.mark.parametrize(
    ("ids", "scores", "size", "kind", "says"),
    [
        ([], [], 4, DistributionError, "a list needs as many ids as scores"),
        ([1, 2], [0.0], 4, DistributionError, "a list needs as many ids as scores"),
        ([1, 1], [0.0, 0.0], 4, DistributionError, "a list names the same token twice"),
        ([1, 4], [0.0, 0.0], 4, DistributionError, "a list names token 4 of a vocabulary of 4"),
        ([-1], [0.0], None, DistributionError, "a list names token -1"),
        ([1, 2], [0.0, math.nan], 4, DistributionError, "NaN"),
        ([1, 2], [math.inf, 0.0], 4, DistributionError, r"\+inf"),
        ([1], [-math.inf], 4, EmptySupport, "no token has probability"),
    ],
)
def test_a_list_of_impossible_numbers_is_a_typed_error(
    ids: list[int], scores: list[float], size: int | None, kind: type, says: str
) -> None:
    with pytest.raises(kind, match=says):
        Distribution.listed(ids, scores, size)


def test_what_a_head_knows_of_all_tokens_is_forgotten_when_scores_change() -> None:
    head = Distribution.head([1, 7], [LOG(0.5), LOG(0.25)], 10, entropy=1.5)
    assert head.knows_normalizer and head.knows_entropy and isinstance(head.row, Row)
    for changed in (head.scaled(2.0), head.add([1], [1.0])):
        assert changed.hidden is not None and not changed.knows_normalizer and not changed.knows_entropy
    assert head.truncated().knows_normalizer and head.truncated().hidden is None


@pytest.mark.parametrize("size", [5, 40_000])
@pytest.mark.parametrize("masked", [0, 1, 3])
@pytest.mark.parametrize("scale", [0.7, 1.0, 5000.0])
def test_the_sums_of_a_row_with_masks(size: int, masked: int, scale: float) -> None:
    values = np.random.default_rng(size).normal(0, 4, size).astype(np.float32)
    values[:masked] = -math.inf
    alive = (values[masked:].astype(np.float64) - float(values.max())) * scale
    weights = np.exp(alive)
    row = Distribution.dense(values).scaled(scale).row
    total, mean = row.sums
    assert total == pytest.approx(weights.sum(), rel=1e-12)
    assert mean == pytest.approx((weights * alive).sum() / weights.sum(), rel=1e-9, abs=1e-300)
    assert row.support_size == size - masked and row.masked == (masked > 0)
