"""Adaptive-p: by hand, against llama.cpp, and by enumeration of what two tokens can be."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

import decodekit
from decodekit import Chain, Choice, Context, Distribution, ParameterError, Undisclosed
from decodekit.testing import check_processor

from .chance import chi_square_tail
from .logit_rows import normal_rows
from .running import decide, probabilities
from .test_llamacpp_dist import libstdcxx

P = np.array([0.6, 0.3, 0.1])


def law(p: np.ndarray, wanted: float) -> np.ndarray:
    distance = np.abs(p - wanted) / 0.3
    weights = np.exp(5 - 10 * distance**2 / (1 + distance))
    return weights / weights.sum()


def test_by_hand() -> None:
    plugin = decodekit.processor("adaptive_p", adaptive_p=0.3, decay=0.5)
    assert plugin.initial(Context()) == (0.6, 2.0)
    after = plugin(Distribution.dense(np.log(P)), Context(), (0.6, 2.0))
    # Distances 1, 0 and 2/3: scores 0, 5 and 5 - 10 * (4/9) / (5/3) = 7/3.
    assert after.scores.tolist() == pytest.approx([0, 5, 7 / 3])
    choice = Choice(0, -1.0, margin=math.inf)
    assert plugin.advance((0.6, 2.0), choice, Context(), Distribution.dense(np.log(P))) == pytest.approx((0.9, 2.0))
    # The average is 0.45 now, so 0.15 is wanted.
    assert probabilities(plugin(Distribution.dense(np.log(P)), Context(), (0.9, 2.0))) == pytest.approx(
        law(P, 0.15).tolist()
    )


def test_the_wanted_probability_stays_one() -> None:
    plugin = decodekit.processor("adaptive_p", adaptive_p=0.1, decay=0.0)
    low, lower = (plugin(Distribution.dense(np.log(P)), Context(), (average, 1.0)) for average in (0.2, 0.9))
    assert low.scores.tolist() == lower.scores.tolist()  # both are clamped to 0


@libstdcxx
@pytest.mark.parametrize("size", [5, 300])
def test_a_thousand_tokens_are_llama_cpps_own(size: int) -> None:
    llama = pytest.importorskip("tests.plugins.llama_cpp_samplers")
    for seed, target in ((3, 0.4), (8, 0.05)):
        rows = normal_rows(1000, size, seed)
        theirs = llama.chain(llama.build("min_p", 0.05, 1), llama.build("adaptive_p", target, 0.9, seed))
        parts = [decodekit.processor("min_p", min_p=0.05), decodekit.processor("adaptive_p", adaptive_p=target)]
        sampler = decodekit.sampler("llamacpp_dist", llamacpp_dist=seed, law="discrete", order="id")
        expected = []
        for row in rows:
            expected.append(llama.select(theirs, row))
            llama.accept(theirs, expected[-1:])
        assert [choice.token_id for _, choice, _ in decide(Chain(parts, sampler), rows)] == expected


def test_scores_are_llama_cpps_and_masked_tokens_stay_masked() -> None:
    llama = pytest.importorskip("tests.plugins.llama_cpp_samplers")
    row = [1.0, 0.5, -math.inf]
    _, theirs = llama.apply(llama.build("adaptive_p", 0.0, 0.9, 1), row)
    ours = decodekit.processor("adaptive_p", adaptive_p=0.0)(Distribution.dense(row), Context(), (0.0, 10.0))
    assert ours.scores.tolist() == pytest.approx(theirs.tolist(), abs=1e-5)
    assert ours.support().tolist() == [0, 1]


def test_two_tokens_come_as_often_as_enumeration_says() -> None:
    target, decay = 0.3, 0.5
    joint = {
        (one, two): law(P, target)[one]
        * law(P, min(max(2 * target - (P[one] + decay * target / (1 - decay)) * (1 - decay), 0), 1))[two]
        for one, two in product(range(3), repeat=2)
    }
    assert sum(joint.values()) == pytest.approx(1)
    chain = Chain([decodekit.processor("adaptive_p", adaptive_p=target, decay=decay)])
    counts = dict.fromkeys(joint, 0)
    for stream in range(4000):
        (_, one, _), (_, two, _) = decide(chain, [np.log(P)] * 2, seed=1, stream=stream)
        counts[one.token_id, two.token_id] += 1
    statistic = sum((counts[pair] - 4000 * mass) ** 2 / (4000 * mass) for pair, mass in joint.items())
    assert chi_square_tail(statistic, 8) > 1e-6


def test_it_keeps_the_contract_and_needs_everything() -> None:
    plugin = decodekit.processor("adaptive_p", adaptive_p=0.4)
    assert check_processor(plugin) == 45
    with pytest.raises(Undisclosed):
        plugin(Distribution.head([1, 0], np.log([0.5, 0.2]), 8), Context(), (4.0, 10.0))
    for wrong in ({"adaptive_p": -0.1}, {"adaptive_p": 1.1}, {"decay": 1.0, "adaptive_p": 0.5}):
        with pytest.raises(ParameterError, match=next(iter(wrong))):
            decodekit.processor("adaptive_p", **wrong)
