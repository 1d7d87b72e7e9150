"""dynamic_temperature on a head: the temperature of the whole row where its maker states what decides it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decodekit import CHEAP, Chain, Context, Distribution, DistributionError, Undisclosed, processor
from decodekit.trace.step import RawSummary


def head_of(whole: Distribution, shown: int, *, support: bool = True) -> Distribution:
    ids = whole.order[:shown]
    count = whole.support_size if support else None
    return Distribution.head(ids, whole.logprobs_of(ids), whole.vocab_size, entropy=whole.entropy, support=count)


@given(st.integers(0, 10**6), st.integers(2, 30), st.sampled_from([-0.9, 0.5, 1.0]), st.booleans())
def test_the_shown_tokens_get_the_temperature_of_the_whole_row(
    seed: int, shown: int, spread: float, mask: bool
) -> None:
    rng = np.random.default_rng(seed)
    row = rng.normal(0, 3, 100)
    if mask:
        row[rng.random(100) < 0.5] = -math.inf
    whole = Distribution.dense(row)
    dynamic = processor("dynamic_temperature", dynamic_temperature=1.0, spread=spread)
    try:
        scores = dynamic(head_of(whole, shown), Context()).scores
    except Undisclosed:  # the first two are not certain
        return
    expected = dynamic(whole, Context()).scores_of(whole.order[: len(scores)])
    np.testing.assert_allclose(scores - scores[0], expected - expected[0], rtol=1e-9, atol=1e-9)


def test_a_head_must_state_how_many_tokens_have_probability() -> None:
    dynamic = processor("dynamic_temperature", dynamic_temperature=1.0, spread=0.5)
    assert Chain([dynamic]).need(Context()) == CHEAP
    whole = Distribution.dense(np.linspace(6.0, 0.0, 50))
    with pytest.raises(Undisclosed, match="support"):
        dynamic(head_of(whole, 20, support=False), Context())
    stated = head_of(whole, 20)
    assert stated.support_size == RawSummary.of(stated, 0).support == 50
    with pytest.raises(Undisclosed):
        stated.support()


@pytest.mark.parametrize("support", [1, 51])
def test_a_support_that_cannot_be_is_refused(support: int) -> None:
    with pytest.raises(DistributionError, match="have probability"):
        Distribution.head([1, 2], [-1.0, -1.5], 50, support=support)
