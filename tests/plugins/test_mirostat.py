"""Mirostat 1 and 2: by hand, against llama.cpp, and by enumeration of what two tokens can be."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

import decodekit
from decodekit import Chain, Choice, Context, Distribution, DistributionError, ParameterError, Undisclosed
from decodekit.testing import check_processor

from .chance import chi_square_tail
from .logit_rows import normal_rows
from .running import decide, probabilities, tokens
from .test_llamacpp_dist import libstdcxx

# 1, 2, 3 and 3 bits.
FOUR = Distribution.dense(np.log([1 / 2, 1 / 4, 1 / 8, 1 / 8]))


def chosen(logprob: float | None) -> Choice:
    return Choice(0, logprob, margin=math.inf)


def test_version_two_by_hand() -> None:
    plugin = decodekit.processor("mirostat_v2", mirostat_v2=1.0, eta=0.5)
    assert plugin.initial(Context()) == 2.0
    assert plugin(FOUR, Context(), 2.5).support().tolist() == [0, 1]
    assert probabilities(plugin(FOUR, Context(), 2.5)) == pytest.approx([2 / 3, 1 / 3, 0, 0])
    assert plugin(FOUR, Context(), 3.5).support_size == 4
    assert plugin(FOUR, Context(), -7.0).support().tolist() == [0]  # one is always left
    # A token of 3 bits: 2 too many, half of that off the limit.
    assert plugin.advance(2.0, chosen(-3 * math.log(2)), Context(), FOUR) == pytest.approx(1.0)
    assert plugin.advance(2.0, chosen(0.0), Context(), FOUR) == pytest.approx(2.5)


def test_the_surprise_is_of_what_was_kept_or_of_the_whole() -> None:
    whole = decodekit.processor("mirostat_v2", mirostat_v2=1.0, eta=0.5, surprise="whole")
    # Token 0 has 1 bit in what came in, whatever its log-probability in the end.
    assert whole.advance(2.0, chosen(0.0), Context(), FOUR) == pytest.approx(2.0)
    masked = Distribution.dense([-math.inf, 0.0])
    assert whole.advance(2.0, chosen(0.0), Context(), masked) == 2.0  # forced by a replay, and impossible here


def test_a_choice_whose_probability_is_not_known_teaches_nothing_and_says_so() -> None:
    plugin = decodekit.processor("mirostat_v2", mirostat_v2=1.0)
    with pytest.raises(DistributionError, match="is not known"):
        plugin.advance(2.0, chosen(None), Context(), FOUR)


def test_version_one_by_hand() -> None:
    # p_i = c / i**2 is Zipf's law with slope 2: k = (2**mu / (1 - 1/V)) ** (1/2).
    zipf = Distribution.dense(-2 * np.log(np.arange(1, 101)))
    plugin = decodekit.processor("mirostat", mirostat=1.0)
    for mu, k in ((6.1, 8), (2.0, 2), (0.1, 1), (-5.0, 1), (40.0, 100)):
        assert plugin(zipf, Context(), mu).support_size == k, mu
    # Slope 1: k = 2**mu / ln V, and ln 100 = 4.605.
    flatter = Distribution.dense(-np.log(np.arange(1, 101)))
    for mu, k in ((6.0, 13), (5.0, 6), (1.0, 1)):
        assert plugin(flatter, Context(), mu).support_size == k, mu


def test_version_one_where_float32_would_make_nan() -> None:
    plugin = decodekit.processor("mirostat", mirostat=1.0)
    # At a slope of exactly 1 the formula is 0 / 0; its limit is 2**mu / ln V, and both sides lead there.
    for slope in (1.0, 1 - 1e-9, 1 + 1e-9):
        zipf = Distribution.dense(-slope * np.log(np.arange(1, 51)))
        for k in (2, 7, 30):
            mu = math.log2(k * math.log(50))
            kept = [plugin(zipf, Context(), mu + shift).support_size for shift in (-1e-6, 1e-6)]
            assert kept == [k - 1, k], slope
    equal = Distribution.dense(np.zeros(8))  # slope 0: k is 0 or infinite, on either side of 2**mu = V - 1
    assert plugin(equal, Context(), 2.8).support_size == 1
    assert plugin(equal, Context(), 2.9).support_size == 8
    lone = Distribution.dense([-math.inf, 0.0, -math.inf])
    assert plugin(lone, Context(), 3.0) is lone


@libstdcxx
@pytest.mark.parametrize(("name", "size"), [("mirostat_v2", 5), ("mirostat_v2", 400), ("mirostat", 400)])
def test_a_thousand_tokens_are_llama_cpps_own(name: str, size: int) -> None:
    llama = pytest.importorskip("tests.plugins.llama_cpp_samplers")
    for seed in (2, 5):
        rows = normal_rows(1000, size, seed)
        if name == "mirostat":
            theirs = llama.build("mirostat", size, seed, 3.0, 0.1, 100)
        else:
            theirs = llama.build("mirostat_v2", seed, 3.0 if size > 5 else 1.0, 0.1)
        plugin = decodekit.processor(name, **{name: 3.0 if size > 5 else 1.0})
        sampler = decodekit.sampler("llamacpp_dist", llamacpp_dist=seed, law="discrete")
        steps = decide(Chain([plugin], sampler), rows)
        assert [choice.token_id for _, choice, _ in steps] == [llama.select(theirs, row) for row in rows]
        assert len({final.support_size for final, _, _ in steps}) > size // 100 + 2  # the limit moved


def test_where_k_overflows_llama_cpp_keeps_one_token_and_we_keep_all() -> None:
    llama = pytest.importorskip("tests.plugins.llama_cpp_samplers")
    row = np.linspace(0, 0.04, 5, dtype=np.float32)  # a slope near 0, so k is far above 2**31
    theirs, _ = llama.apply(llama.build("mirostat", 5, 1, 3.0, 0.1, 100), row)
    ours = decodekit.processor("mirostat", mirostat=3.0)(Distribution.dense(row), Context(), 6.0)
    assert len(theirs) == 1 and ours.support_size == 5


@pytest.mark.parametrize("surprise", ["kept", "whole"])
def test_two_tokens_come_as_often_as_enumeration_says(surprise: str) -> None:
    p, target, eta = np.array([0.5, 0.29, 0.21]), 1.0, 1.0
    bits = -np.log2(p)

    def law(mu: float) -> np.ndarray:
        kept = np.where((bits <= mu) | (np.arange(3) == 0), p, 0)
        return kept / kept.sum()

    joint = {}
    for first, second in product(range(3), repeat=2):
        start = law(2 * target)
        if start[first] == 0:
            continue
        seen = start[first] if surprise == "kept" else p[first]
        joint[first, second] = start[first] * law(2 * target - eta * (-math.log2(seen) - target))[second]
    joint = {pair: mass for pair, mass in joint.items() if mass > 0}
    # Two tokens are kept at first. What follows the likelier one depends on whose surprise counts.
    assert set(joint) == {(0, 0), (0, 1), (1, 0)} | ({(0, 2)} if surprise == "kept" else set())

    chain = Chain([decodekit.processor("mirostat_v2", mirostat_v2=target, eta=eta, surprise=surprise)])
    counts = dict.fromkeys(joint, 0)
    for stream in range(4000):
        (_, one, _), (_, two, _) = decide(chain, [np.log(p)] * 2, seed=1, stream=stream)
        counts[one.token_id, two.token_id] += 1
    statistic = sum((counts[pair] - 4000 * mass) ** 2 / (4000 * mass) for pair, mass in joint.items())
    assert chi_square_tail(statistic, 4) > 1e-6  # 2 or 3 degrees of freedom: 4 is the lenient side


@pytest.mark.parametrize("name", ["mirostat", "mirostat_v2"])
def test_they_keep_the_contract_and_hold_the_surprise(name: str) -> None:
    for surprise in ("kept", "whole"):
        plugin = decodekit.processor(name, **{name: 3.0}, surprise=surprise)
        assert check_processor(plugin) == 45
    rows = [np.random.default_rng(seed).normal(0, 2, 500) for seed in range(400)]
    steps = decide(Chain([decodekit.processor(name, **{name: 3.0})]), rows)
    surprises = [-(choice.logprob or 0) / math.log(2) for _, choice, _ in steps]
    assert np.mean(surprises) == pytest.approx(3.0, abs=0.15)
    assert np.mean([-(c.logprob or 0) / math.log(2) for _, c, _ in decide(Chain([]), rows)]) > 5


def test_on_heads_they_answer_where_it_can_be_proved() -> None:
    head = Distribution.head([7, 2, 5], np.log([0.6, 0.3, 0.05]), 100)
    two = decodekit.processor("mirostat_v2", mirostat_v2=1.0)
    assert two(head, Context(), 2.0).support().tolist() == [7, 2]
    with pytest.raises(Undisclosed):
        two(head, Context(), 6.0)
    one = decodekit.processor("mirostat", mirostat=1.0, m=3)
    assert one.needs == decodekit.Disclosure(3)
    assert one(head, Context(), 1.0).support().tolist() == [7]
    for plugin, dist in (
        (decodekit.processor("mirostat", mirostat=1.0, m=4), head),
        (one, Distribution.head([7, 2, 5], np.log([0.6, 0.3, 0.05]), None)),
    ):
        with pytest.raises(Undisclosed):
            plugin(dist, Context(), 1.0)


def test_states_are_numbers_and_branches_do_not_meet() -> None:
    rows = [np.random.default_rng(seed).normal(0, 2, 50) for seed in range(20)]
    chain = Chain([decodekit.processor("mirostat_v2", mirostat_v2=2.0)])
    assert tokens(chain, rows) == tokens(chain, rows)
    assert all(isinstance(states[0], float) for _, _, states in decide(chain, rows))


@pytest.mark.parametrize("name", ["mirostat", "mirostat_v2"])
@pytest.mark.parametrize(
    "wrong", [{"eta": 0.0}, {"eta": 1.1}, {"surprise": "raw"}, {"target": 0.0}, {"target": 100.1}, {"m": 1}]
)
def test_parameters_out_of_range_are_refused(name: str, wrong: dict) -> None:
    parameters = {name: 3.0} | {name if key == "target" else key: value for key, value in wrong.items()}
    with pytest.raises(ParameterError, match=name if "target" in wrong else next(iter(wrong))):
        decodekit.processor(name, **parameters)
