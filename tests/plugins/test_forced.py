"""Forced tokens: chosen whatever the distribution says, with the probability it gives them."""

from __future__ import annotations

import math

import numpy as np
import pytest

import decodekit
from decodekit import Chain, Context, Distribution, ParameterError, PluginError, Undisclosed
from decodekit.testing import TableAdapter

from .running import decide

ROW = np.log([0.5, 0.25, 0.125, 0.125])


def test_the_ids_are_chosen_and_scored_as_they_stand() -> None:
    chain = Chain([decodekit.processor("top_k", top_k=2)], decodekit.sampler("forced", forced=[1, 0, 1]))
    steps = decide(chain, [ROW] * 3)
    assert [choice.token_id for _, choice, _ in steps] == [1, 0, 1]
    assert steps[0][1].logprob == pytest.approx(math.log(1 / 3))
    assert steps[0][1].raw_logprob == pytest.approx(math.log(1 / 4)) and steps[0][1].rank == 1
    assert (steps[0][1].margin, steps[0][1].runner_up, steps[0][1].draw) == (math.inf, None, None)
    noise = [decide(chain, [ROW] * 3, seed=seed, stream=seed)[2][1] for seed in (1, 2)]
    assert noise[0] == noise[1] == steps[2][1]


def test_a_token_that_the_chain_removed_or_that_there_is_not_is_refused() -> None:
    top = decodekit.processor("top_k", top_k=2)
    with pytest.raises(PluginError, match="token 3, which has no probability"):
        decide(Chain([top], decodekit.sampler("forced", forced=[3])), [ROW])
    with pytest.raises(PluginError, match="token id 9 lies outside"):
        decide(Chain([], decodekit.sampler("forced", forced=[9])), [ROW])


def test_when_the_ids_run_out_it_says_so() -> None:
    with pytest.raises(PluginError, match="forced has 2 ids, but token 3 was requested"):
        decide(Chain([], decodekit.sampler("forced", forced=[0, 1])), [ROW] * 3)


def test_on_a_head_it_asks_for_its_token_by_name() -> None:
    sampler = decodekit.sampler("forced", forced=[3])
    with pytest.raises(Undisclosed) as caught:
        sampler(Distribution.head([0, 1], ROW[:2], 4), Context(), decodekit.Randomness(0).at(0))
    assert 3 in caught.value.need.ids
    shown = Distribution.head([0, 3], ROW[[0, 3]], 4, max_hidden=ROW[1])
    assert sampler(shown, Context(), decodekit.Randomness(0).at(0)).logprob == pytest.approx(ROW[3])


def test_the_ids_of_a_trace_score_under_another_model() -> None:
    rows = np.random.default_rng(1).normal(0, 2, (7, 30))
    first = decodekit.Session(TableAdapter(lambda ids: rows[len(ids) % 7], 30), Chain([]), seed=5)
    ids = first.generate([2], max_tokens=20).trace.token_ids()
    other = TableAdapter(lambda ids: -rows[len(ids) % 7], 30)
    scored = decodekit.Session(other, Chain([], decodekit.sampler("forced", forced=ids)), seed=9)
    result = scored.generate([2], max_tokens=20)
    assert list(result.token_ids) == ids
    exact = [Distribution.dense(-rows[(n + 1) % 7]).logprob(token) for n, token in enumerate(ids)]
    assert [step.choice.logprob for step in result.trace.steps] == pytest.approx(exact)


@pytest.mark.parametrize("ids", [[-1], [2**63], [True], ["1"], "12", None, 3])
def test_ids_that_make_no_sense_are_refused(ids: object) -> None:
    with pytest.raises(ParameterError, match="forced"):
        decodekit.sampler("forced", forced=ids)
