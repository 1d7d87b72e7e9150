"""XTC with its coin, with the coin averaged out, and with llama.cpp's coin."""

from __future__ import annotations

import math

import numpy as np
import pytest

import decodekit
from decodekit import Chain, Context, Distribution, ParameterError, Randomness, Undisclosed
from decodekit.draw.randomness import PROCESSORS
from decodekit.testing import check_processor
from decodekit_sampling.mt19937 import uniform_float

from .chance import chi_square_tail
from .logit_rows import normal_rows
from .running import decide, probabilities, tokens
from .test_llamacpp_dist import libstdcxx

FIVE = Distribution.dense(np.log([0.4, 0.25, 0.2, 0.1, 0.05]))


def context(step: int = 0) -> Context:
    return Context(rng=Randomness(0).at(step, PROCESSORS, 1))


def excluded(dist: Distribution = FIVE, **parameters: object) -> list[int]:
    plugin = decodekit.processor("xtc", xtc=1.0, **parameters)
    return sorted(set(dist.support().tolist()) - set(plugin(dist, context()).support().tolist()))


def test_the_top_choices_by_hand() -> None:
    assert excluded(threshold=0.15) == [0, 1]  # three reach it, the least likely of them stays
    assert excluded(threshold=0.24) == [0]
    assert excluded(threshold=0.3) == [] == excluded(threshold=0.9)  # one, or none, is no choice
    assert excluded(threshold=0.01) == [0, 1, 2, 3]
    assert excluded(threshold=0.15, min_keep=3) == [0, 1] and excluded(threshold=0.15, min_keep=4) == []
    assert excluded(threshold=0.15, protected=[0]) == [1] and excluded(threshold=0.15, protected=[4, 2]) == [0, 1]
    tied = Distribution.dense([1.0, 1.0, 1.0, 0.0])
    assert excluded(tied, threshold=0.2) == [0, 1] and excluded(tied, threshold=0.2, least="equals") == []
    assert excluded(threshold=0.0) == [0, 1, 2, 3]  # every token is a choice
    assert excluded(threshold=0.25) == [0] and excluded(threshold=0.25, above=True) == []


def test_a_protected_token_is_a_choice_or_is_none() -> None:
    asked = {"threshold": 0.15, "protected": [2]}  # the least likely of three choices
    assert excluded(**asked) == [0, 1] and excluded(**asked, counted=False) == [0]
    sure = decodekit.processor("xtc_expected", xtc_expected=1.0, **asked)  # exllamav3's, which leaves them aside
    assert sure(FIVE, Context()).support().tolist() == [1, 2, 3, 4]


def test_a_penalty_in_place_of_a_ban_leaves_the_token_to_what_follows() -> None:
    coin = decodekit.processor("xtc", xtc=1.0, threshold=0.15, penalty=999.0)
    after = coin(FIVE, context())
    np.testing.assert_allclose(after.scores_of(range(5)) - FIVE.scores, [-999, -999, 0, 0, 0])
    assert coin.marginal(FIVE, Context()).logprobs_of([0]) == pytest.approx(after.logprobs_of([0]))
    half = decodekit.processor("xtc", xtc=0.25, threshold=0.15, penalty=1.0)
    sure = decodekit.processor("xtc", xtc=1.0, threshold=0.15, penalty=1.0)(FIVE, context())
    mixture = 0.75 * np.exp(FIVE.logprobs) + 0.25 * np.exp(sure.logprobs_of(range(5)))
    assert probabilities(half.marginal(FIVE, Context())) == pytest.approx(mixture.tolist())


def test_a_threshold_that_is_met_to_the_last_bits_is_ambiguous() -> None:
    plugin = decodekit.processor("xtc", xtc=1.0, threshold=0.25)
    assert plugin(FIVE, context()).ambiguous
    assert not decodekit.processor("xtc", xtc=1.0, threshold=0.24)(FIVE, context()).ambiguous


def test_each_step_has_its_random_number_in_the_record() -> None:
    chain = Chain([decodekit.processor("xtc", xtc=0.5, threshold=0.15)])
    context, states, applied = Context(), (None, None), 0
    for step in range(200):
        noise = Randomness(3).at(step)
        final, _, (entry,), _ = chain.step(FIVE, Context(output_ids=(0,) * step), states, noise)
        ((lane, word),) = entry.tosses
        heads = ((word >> 12) + 0.5) * 2.0**-52 < 0.5
        assert lane == 0 and (final.support_size == 3) == heads
        applied += heads
    assert 60 < applied < 140  # beyond six standard deviations of 7.1 in 200
    with pytest.raises(decodekit.PluginError, match="give the context an rng"):
        chain.apply(FIVE, context)


@pytest.mark.parametrize("q", [0.0, 0.3, 0.75, 1.0])
@pytest.mark.parametrize("options", [{"threshold": 0.15}, {"threshold": 0.01}, {"threshold": 0.15, "protected": [1]}])
def test_the_marginal_is_the_mixture_of_both_sides(q: float, options: dict) -> None:
    coin = decodekit.processor("xtc", xtc=q, **options)
    sure = decodekit.processor("xtc", xtc=1.0, **options)(FIVE, context())
    mixture = (1 - q) * np.array(probabilities(FIVE)) + q * np.array(probabilities(sure))
    expected = decodekit.processor("xtc_expected", xtc_expected=q, **options)
    assert probabilities(coin.marginal(FIVE, Context())) == pytest.approx(mixture.tolist())
    assert probabilities(expected(FIVE, Context())) == pytest.approx(mixture.tolist())


def test_tokens_come_as_often_as_the_marginal_says() -> None:
    plugin = decodekit.processor("xtc", xtc=0.4, threshold=0.15)
    counts = np.zeros(5)
    for stream in range(6000):
        ((_, choice, _),) = decide(Chain([plugin]), [FIVE.scores], seed=2, stream=stream)
        counts[choice.token_id] += 1
    expected = 6000 * np.array(probabilities(plugin.marginal(FIVE, Context())))
    assert chi_square_tail(float(((counts - expected) ** 2 / expected).sum()), 4) > 1e-6


@libstdcxx
def test_a_thousand_random_numbers_are_those_of_llama_cpp() -> None:
    llama = pytest.importorskip("tests.plugins.llama_cpp_samplers")
    for probability, threshold, min_keep, seed in ((0.5, 0.1, 1, 1), (0.1, 0.05, 1, 2), (0.9, 0.02, 9, 3)):
        rows = normal_rows(1000, 12, seed, 1.5)
        gate = llama.build("xtc", probability, threshold, min_keep, seed)
        theirs = [set(llama.apply(gate, row)[0].tolist()) for row in rows]
        options = {"threshold": threshold, "min_keep": min_keep, "seed": seed}
        chain = Chain([decodekit.processor("llamacpp_xtc", llamacpp_xtc=probability, **options)])
        ours = [set(final.support().tolist()) for final, _, _ in decide(chain, rows)]
        assert ours == theirs
        changed = sum(len(left) < 12 for left in theirs)
        assert 0.02 < changed / 1000 < probability + 0.05


@libstdcxx
def test_a_chain_with_llama_cpps_random_numbers_draws_its_tokens() -> None:
    llama = pytest.importorskip("tests.plugins.llama_cpp_samplers")
    rows = normal_rows(1000, 60, 4)
    for row in rows[::5]:
        row[7] = 50.0  # a lone candidate after min_p: no toss
    theirs = llama.chain(
        llama.build("top_k", 30),
        llama.build("min_p", 0.02, 1),
        llama.build("xtc", 0.5, 0.1, 1, 4),
        llama.build("dist", 4),
    )
    parts = [
        decodekit.processor("top_k", top_k=30),
        decodekit.processor("min_p", min_p=0.02),
        decodekit.processor("llamacpp_xtc", llamacpp_xtc=0.5, seed=4),
    ]
    chain = Chain(parts, decodekit.sampler("llamacpp_dist", llamacpp_dist=4))
    assert tokens(chain, rows) == [llama.select(theirs, row) for row in rows]


def test_the_gate_of_llama_cpp_by_hand() -> None:
    plugin = decodekit.processor("llamacpp_xtc", llamacpp_xtc=0.5, seed=9, threshold=0.15)
    for position in range(50):
        applied = plugin(FIVE, Context(), position).support_size == 3
        assert applied == (uniform_float(9, position) <= 0.5)
    assert plugin.initial(Context(output_ids=(4, 4, 4))) == 3  # continuing a text of three tokens
    lone = Distribution.dense([0.0, -math.inf])
    choice = decide(Chain([]), [FIVE.scores])[0][1]
    assert plugin.advance(4, choice, Context(), FIVE) == 5 and plugin.advance(4, choice, Context(), lone) == 4
    for never in ({"llamacpp_xtc": 0.0}, {"llamacpp_xtc": 0.5, "threshold": 0.51}):
        idle = decodekit.processor("llamacpp_xtc", seed=9, **never)
        assert idle.advance(4, choice, Context(), FIVE) == 4 and idle(FIVE, Context(), 4) is FIVE
    both = plugin.marginal(FIVE, Context())
    assert probabilities(both) == pytest.approx(
        probabilities(decodekit.processor("xtc_expected", xtc_expected=0.5, threshold=0.15)(FIVE, Context()))
    )


def test_on_heads_they_answer_where_it_can_be_proved() -> None:
    head = Distribution.head([7, 2, 5], np.log([0.5, 0.3, 0.05]), 100)
    plugin = decodekit.processor("xtc", xtc=1.0, threshold=0.2)
    after = plugin(head, context())
    assert after.scores_of([7, 2]).tolist() == [-math.inf, math.log(0.3)] and after.tail is not None
    with pytest.raises(Undisclosed):
        decodekit.processor("xtc", xtc=1.0, threshold=0.01)(head, context())
    with pytest.raises(Undisclosed):
        decodekit.processor("xtc", xtc=1.0, threshold=0.2, min_keep=3)(head, context())
    assert decodekit.processor("xtc", xtc=0.0)(head, context()) is head


def test_they_keep_the_contract() -> None:
    for name, more in (("xtc", {}), ("xtc_expected", {}), ("llamacpp_xtc", {"seed": 3})):
        for options in ({}, {"threshold": 0.01, "min_keep": 3}):
            assert check_processor(decodekit.processor(name, **{name: 0.6}, **more, **options)) == 45
        protecting = decodekit.processor(name, **{name: 1.0}, **more, protected=[1])
        assert check_processor(protecting, names_ids=True) == 45


@pytest.mark.parametrize("name", ["xtc", "xtc_expected", "llamacpp_xtc"])
@pytest.mark.parametrize(
    "wrong", [{"threshold": -0.1}, {"threshold": 1.1}, {"min_keep": 0}, {"protected": [-1]}, {"seed": 2**32 - 1}]
)
def test_parameters_out_of_range_are_refused(name: str, wrong: dict) -> None:
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        decodekit.processor(name, **{name: 0.5}, **wrong)
    for value in (-0.1, 1.1, True):
        with pytest.raises(ParameterError, match=name):
            decodekit.processor(name, **{name: value})


def test_a_threshold_of_0_leaves_the_least_likely_as_in_llama_cpp() -> None:
    llama = pytest.importorskip("tests.plugins.llama_cpp_samplers")
    for row in normal_rows(5, 30, 12):
        ids, _ = llama.apply(llama.build("xtc", 1.0, 0.0, 1, 7), row)
        chain = Chain.preset("llama.cpp", samplers="xtc", xtc_probability=1.0, xtc_threshold=0.0)
        left = chain.apply(Distribution.dense(row), context()).support().tolist()
        assert left == sorted(ids.tolist()) == [int(np.argmin(row))]
