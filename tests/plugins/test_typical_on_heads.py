"""Typical sampling on a head that states its entropy: the answer of the whole row, or a refusal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decodekit import CHEAP, Chain, Context, Distribution, Undisclosed, processor


def head_of(whole: Distribution, shown: int, *, entropy: bool = True) -> Distribution:
    ids = whole.order[:shown]
    size = whole.vocab_size
    return Distribution.head(ids, whole.logprobs_of(ids), size, entropy=whole.entropy if entropy else None)


@settings(max_examples=150)
@given(
    st.integers(0, 10**6),
    st.integers(2, 300),
    st.sampled_from([0.5, 2.0, 5.0]),
    st.floats(0.02, 0.999),
    st.sampled_from(["lowest", "highest", "all"]),
    st.sampled_from([1, 4]),
    st.booleans(),
)
def test_what_a_head_proves_is_what_the_whole_row_gives(
    seed: int, shown: int, spread: float, p: float, ties: str, least: int, rounded: bool
) -> None:
    row = np.random.default_rng(seed).normal(0, spread, 400)
    whole = Distribution.dense(np.round(row) if rounded else row)
    typical = processor("typical_p", typical_p=p, ties=ties, min_keep=least)
    expected = typical(whole, Context())
    try:
        kept = typical(head_of(whole, shown), Context())
    except Undisclosed:
        return
    assert kept.tail is None
    assert sorted(kept.support().tolist()) == sorted(expected.support().tolist()) or expected.ambiguous


def test_a_peaked_row_is_answered_from_its_head_and_a_flat_one_is_not() -> None:
    typical = processor("typical_p", typical_p=0.9)
    peaked = Distribution.dense(np.where(np.arange(400) < 8, 6.0 - np.arange(400) * 0.1, -8.0))
    assert typical(head_of(peaked, 20), Context()).support_size < 9
    with pytest.raises(Undisclosed):
        typical(head_of(Distribution.dense(np.zeros(400)), 20), Context())
    with pytest.raises(Undisclosed, match="the entropy"):
        typical(head_of(peaked, 20, entropy=False), Context())


def test_it_asks_for_what_is_cheap_first() -> None:
    assert Chain([processor("typical_p", typical_p=0.9)]).need(Context()) == CHEAP
