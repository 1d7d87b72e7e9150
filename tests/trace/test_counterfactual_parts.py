"""Every processor of ours in a chain that is asked about: proved from a record only where a live run gives the same."""

from __future__ import annotations

import math

import numpy as np
import pytest

import decodekit
from decodekit import Chain, Session
from decodekit.cli.as_if import asked_about
from decodekit.distribution.disclosure import Disclosure
from decodekit.errors import EmptySupport, ParameterError
from decodekit.testing import TableAdapter
from tests.plugins.test_large_logits import NAMES, example

from .asked_again import live, rows, run

RECORDED = ("", "top_k=4", "min_p=0.1 temperature=0.8")


@pytest.mark.parametrize("name", NAMES)
def test_what_is_proved_of_each_processor_is_what_a_live_run_draws(name: str) -> None:
    part, hot = decodekit.processor(name, **example(name)), decodekit.processor("temperature", temperature=1.4)
    for at, old in enumerate(RECORDED):
        adapter = rows(at, (40, 9, 40)[at])
        trace = run(adapter, old, at, "proof", (5, 8, 0)[at])
        for chain in (Chain([part]), Chain([hot, part])):
            found = decodekit.replay(trace, chain=chain)
            try:
                drawn = live(adapter, trace, chain, at)
            except EmptySupport:  # after another text nothing would be left
                continue
            assert all(step.other in (None, token) for step, token in zip(found.steps, drawn, strict=True))


@pytest.mark.parametrize("chain", ["mirostat_v2=3.0", "mirostat=3.0", "temperature=0.6 mirostat_v2=2.0"])
def test_a_state_follows_what_the_asked_chain_would_have_done(chain: str) -> None:
    """A run of that chain is the same as long as it writes the same text, so it must be told in full."""
    compared = 0
    for seed in range(12):
        table = np.random.default_rng(seed).normal(0, (0.3, 1, 3)[seed % 3], (9, 30))
        session = TableAdapter(lambda ids, table=table: table[len(ids)], 30)
        old = Session(session, "temperature=1.3", seed=seed).generate([1], max_tokens=6, level="full").trace
        again = Session(session, chain, seed=seed).generate([1], max_tokens=6, level="full").trace
        for asked, recorded, run_again in zip(
            decodekit.replay(old, chain=chain).steps, old.steps, again.steps, strict=True
        ):
            assert asked.other == run_again.token_id and run_again.choice.logprob is not None
            assert asked.probability == pytest.approx(math.exp(run_again.choice.logprob), abs=1e-9)
            compared += asked.index > 0
            if recorded.token_id != run_again.token_id:
                break
    assert compared >= 8


def test_a_state_before_the_change_learns_from_what_comes_after_it() -> None:
    """The limit of mirostat moves with the log-probability after the whole chain, so a later temperature changes it."""
    for seed in range(12):
        adapter = rows(seed, 30)
        trace = run(adapter, "mirostat_v2=2.0", seed, "proof", 8)
        asked = "mirostat_v2=2.0 temperature=0.7"
        found = decodekit.replay(trace, chain=asked)
        for step, token in zip(found.steps, live(adapter, trace, asked, seed), strict=True):
            assert step.other in (None, token)
        assert found.steps[0].other is not None and "mirostat_v2 learns" in found.steps[1].why


class FollowsMargins:
    """A stateful part whose state depends on the choice itself."""

    def initial(self, ctx: decodekit.Context) -> float:
        return 0.0

    def __call__(self, dist: decodekit.Distribution, ctx: decodekit.Context, state: float) -> decodekit.Distribution:
        return dist.scaled(1.0 + state)

    def advance(self, state: float, choice: decodekit.Choice, ctx: decodekit.Context) -> float:
        return state + choice.margin


def test_a_part_that_learns_from_the_choice_is_lost_where_the_choice_is_not_known() -> None:
    trace = run(rows(3, 40), "top_k=2", 3, "proof", 1)
    found = decodekit.replay(trace, chain=Chain([FollowsMargins(), decodekit.processor("top_p", top_p=0.9)]))
    assert any("margin" in step.why or "not recorded" in step.why for step in found.steps)
    assert all(step.other is None for step in found.steps[1:])


@pytest.mark.parametrize("added", ["epsilon_cutoff=0.06", "top_p=0.4", "eta_cutoff=0.4", "top_a=0.6", "p_less=1.0"])
def test_of_scores_without_a_scale_no_probability_follows(added: str) -> None:
    """After a penalty on the head of a provider only differences of scores are known."""
    for seed in range(8):
        table = np.random.default_rng(seed).normal(0, 1, (9, 20))
        table[:, 3] += 4.0
        adapter = TableAdapter(lambda ids, table=table: table[len(ids)], 20, most=Disclosure(6, (0,)))
        chain = [decodekit.processor("logit_bias", logit_bias={3: -3.0})]
        asked = Chain([*chain, *Chain.of(added).processors])
        trace = Session(adapter, chain, seed=seed, top_logprobs=2).generate([1], max_tokens=4).trace
        whole = TableAdapter(lambda ids, table=table: table[len(ids)], 20)
        drawn = live(whole, trace, asked, seed, prompt=[1])
        found = decodekit.replay(trace, chain=asked)
        for step, token in zip(found.steps, drawn, strict=True):
            assert step.other in (None, token)


# -- what is said where it is not known, and what is refused ----------------------------------------------------------


@pytest.mark.parametrize("level", ["choice", "proof"])
@pytest.mark.parametrize("sampler", ["multinomial", "inverse_cdf", "greedy"])
def test_the_recorded_run_itself_draws_the_recorded_tokens(level: str, sampler: str) -> None:
    """Also where two tokens tie exactly, or nothing of the scores is recorded."""
    adapter = TableAdapter({(): np.array([1.0, 2.0, 2.0, 0.0])}, 4)
    trace = run(adapter, f"temperature=0.8 {sampler}", 3, level, 0)
    for seed in (3, 4) if sampler == "greedy" else (3,):
        found = decodekit.replay(trace, chain=f"temperature=0.8 {sampler}", seed=seed)
        assert (found.unchanged, found.expected_changes) == (5, 0.0)
        assert all(step.tv == 0.0 for step in found.steps)


def test_the_message_names_what_is_missing_and_the_way_out() -> None:
    trace = run(rows(1, 40), "temperature=0.8", 1, "proof", 5)
    for chain, reason in (
        ("repetition_penalty=1.2", "repetition_penalty depends on the model's own logits, which only level 'full'"),
        (
            "top_n_sigma=1.0",
            "tokens that were not recorded decide the standard deviation of the scores; record with level 'full'",
        ),
    ):
        whys = [step.why for step in decodekit.replay(trace, chain=chain).steps]
        assert all(reason in why for why in whys), whys


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "nothing is to be changed"),
        ("temperature", "'temperature' has no value"),
        ("temperature=1.2 top_p", "'top_p' has no value"),
        ("top_p=0.95 top_p=0.5", "'top_p' is named 2 times"),
    ],
)
def test_other_parameters_that_change_nothing_are_refused(text: str, message: str) -> None:
    trace = run(rows(1, 9), "temperature=0.8 top_p=0.9", 1, "proof", 5)
    with pytest.raises(ParameterError, match=message):
        asked_about(trace, text, None)
    assert asked_about(trace, "greedy", None) is not None
