"""Skew: the law as a processor, against the draw by a bent uniform."""

from __future__ import annotations

import math

import numpy as np
import pytest

import decodekit
from decodekit import Context, Distribution, ParameterError, Undisclosed
from decodekit.testing import check_processor

from .running import probabilities

ROW = np.random.default_rng(0).normal(0, 1.5, 12)


@pytest.mark.parametrize("order", ["score", "id"])
@pytest.mark.parametrize("skew", [-1.5, -0.2, 0.4, 2.0])
def test_it_is_the_draw_by_a_bent_uniform(skew: float, order: str) -> None:
    p = np.exp(ROW) / np.exp(ROW).sum()
    ids = np.argsort(-ROW) if order == "score" else np.arange(12)
    uniforms = (np.arange(400_000) + 0.5) / 400_000
    drawn = np.searchsorted(np.cumsum(p[ids]), uniforms ** math.exp(-skew))
    counted = np.zeros(12)
    counted[ids] = np.bincount(np.minimum(drawn, 11), minlength=12) / 400_000
    after = decodekit.processor("skew", skew=skew, order=order)(Distribution.dense(ROW), Context())
    assert probabilities(after) == pytest.approx(counted.tolist(), abs=5e-6)  # a cell is off by two points at most


def test_by_hand() -> None:
    # exp(ln 2) squares the cumulative 1/2, 3/4, 1.
    after = decodekit.processor("skew", skew=math.log(2))(Distribution.dense(np.log([1 / 4, 1 / 2, 1 / 4])), Context())
    assert probabilities(after) == pytest.approx([9 / 16 - 4 / 16, 4 / 16, 7 / 16])
    by_id = decodekit.processor("skew", skew=math.log(2), order="id")
    assert probabilities(by_id(Distribution.dense(np.log([1 / 4, 1 / 2, 1 / 4])), Context())) == pytest.approx(
        [1 / 16, 8 / 16, 7 / 16]
    )
    dist = Distribution.dense(ROW)
    assert decodekit.processor("skew", skew=0.0)(dist, Context()) is dist


@pytest.mark.parametrize("skew", [-10.0, -1.0, 1.0, 10.0])
def test_no_token_is_lost_however_unlikely(skew: float) -> None:
    dist = Distribution.dense([0.0, -20.0, -60.0, -900.0, 0.5])
    for order in ("score", "id"):
        after = decodekit.processor("skew", skew=skew, order=order)(dist, Context())
        assert after.support_size == 5
        assert after.log_normalizer == pytest.approx(0, abs=1e-9)
    # Far down the list, C is 1 and the token's own share p: p * exp(skew).
    last = decodekit.processor("skew", skew=skew)(dist, Context()).logprob(3)
    assert last == pytest.approx(dist.logprob(3) + skew, abs=1e-9)


def test_it_keeps_the_contract() -> None:
    for skew in (-0.7, 0.7):
        assert check_processor(decodekit.processor("skew", skew=skew)) == 45
    assert check_processor(decodekit.processor("skew", skew=0.7, order="id"), permutable=False) == 45
    with pytest.raises(Undisclosed):
        decodekit.processor("skew", skew=0.7)(Distribution.head([1, 0], np.log([0.5, 0.2]), 8), Context())
    for wrong in ({"skew": 10.1}, {"skew": -10.1}, {"skew": 0.0, "order": "rank"}):
        with pytest.raises(ParameterError, match=list(wrong)[-1]):
            decodekit.processor("skew", **wrong)
