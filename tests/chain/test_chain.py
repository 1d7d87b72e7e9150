"""The user's list is the program: its order, its description, and the notes on what each part did."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import decodekit
from decodekit import (
    Chain,
    Context,
    Distribution,
    ParameterError,
)
from decodekit.draw.samplers import multinomial
from tests.chain.parts import FOUR, HEAD, LOG, NOISE, hot, step, two


def test_processors_run_in_the_order_they_are_written() -> None:
    # Temperature 2 on 1/2, 1/4, 1/8, 1/8 gives roots .707 : .5 : .354 : .354, so .369, .261, ...: 0.6 needs two tokens.
    # 0.6 first needs two as well, and 0.5 first only one; so order shows with p = 0.5.
    def exact(dist: Distribution, ctx: Context) -> Distribution:
        return dist.nucleus(0.5 - 1e-6)

    assert Chain([exact, hot]).apply(FOUR, Context()).support().tolist() == [0]
    assert Chain([hot, exact]).apply(FOUR, Context()).support().tolist() == [0, 1]
    _, _, entries, _ = step(Chain([hot, exact, hot]))
    assert [entry.name for entry in entries] == ["hot", "exact", "hot"]


def test_an_empty_chain_draws_from_the_distribution_as_it_came() -> None:
    final, choice, entries, states = step(Chain())
    assert final is FOUR and entries == () and states == (None,)
    drawn = multinomial(FOUR, Context(), NOISE.at(0))
    assert choice == replace(drawn, raw_logprob=drawn.logprob, rank=FOUR.rank(drawn.token_id))


def test_entries_say_what_each_processor_did() -> None:
    final, choice, (first, second, third), _ = step(Chain([hot, two, lambda dist, _: dist]), top=3)
    roots = np.sqrt([1 / 2, 1 / 4, 1 / 8, 1 / 8])
    p = roots / roots.sum()
    before = np.array([1 / 2, 1 / 4, 1 / 8, 1 / 8])
    assert (first.name, first.support, first.mass_removed) == ("hot", 4, 0.0)
    assert first.entropy == pytest.approx(-p @ np.log(p)) and first.kl == pytest.approx(p @ np.log(p / before))
    assert [i for i, _ in first.top] == [0, 1, 2] and [q for _, q in first.top] == pytest.approx(np.log(p[:3]).tolist())
    kept = p[0] + p[1]
    assert (second.name, second.support) == ("two", 2)
    assert second.kl == pytest.approx(-LOG(kept)) and second.mass_removed == pytest.approx(1 - kept)
    assert (third.kl, third.mass_removed, third.support) == (0.0, 0.0, 2) and third.name == "<lambda>"
    assert final.support_size == 2
    assert choice.raw_logprob == pytest.approx(LOG(before[choice.token_id])) and choice.rank == choice.token_id
    assert choice.logprob == pytest.approx(LOG(p[choice.token_id] / kept))


@pytest.mark.parametrize("dense", [True, False])
def test_the_divergence_of_a_truncation_is_minus_the_log_of_the_mass_it_kept(dense: bool) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        dist = Distribution.dense(rng.normal(0, 2, 300))
        kept = rng.choice(300, size=150 if dense else 10, replace=False)
        _, _, (entry,), _ = step(Chain([lambda d, _, kept=kept: d.keep(kept)]), dist)
        mass = float(np.exp(dist.logprobs_of(kept)).sum())
        assert entry.kl == pytest.approx(-LOG(mass)) and entry.mass_removed == pytest.approx(1 - mass)
        assert entry.support == len(kept)


def test_an_ambiguous_decision_is_noted_where_it_was_made() -> None:
    def edge(dist: Distribution, ctx: Context) -> Distribution:
        return dist.nucleus(0.75)  # 1/2 + 1/4

    _, _, entries, _ = step(Chain([two_of_all, edge, hot]))
    assert [entry.ambiguous for entry in entries] == [False, True, False]


def two_of_all(dist: Distribution, ctx: Context) -> Distribution:
    return dist.top(4)


def test_on_a_head_entries_carry_the_tail_and_what_is_known_once_it_is_cut_off() -> None:
    _, _, (scaled, cut), _ = step(Chain([hot, two]), HEAD)
    assert scaled.tail is not None and scaled.tail.count == 2
    assert (scaled.support, scaled.entropy, scaled.kl, scaled.mass_removed) == (None,) * 4
    p = np.sqrt([1 / 2, 1 / 4]) / np.sqrt([1 / 2, 1 / 4]).sum()
    assert (cut.tail, cut.support) == (None, 2) and cut.entropy == pytest.approx(-p @ np.log(p))
    assert (cut.kl, cut.mass_removed) == (None, None)  # the mass of the tail is known within bounds only
    _, _, (cut,), _ = step(Chain([two]), HEAD)
    assert cut.kl == pytest.approx(-LOG(0.75)) and cut.mass_removed == pytest.approx(0.25)


def test_a_chain_describes_its_parts() -> None:
    chain = Chain([decodekit.processor("temperature", temperature=0.5), two], "greedy")
    first, second = chain.describe()["processors"]
    assert (first["name"], first["params"]["temperature"], first["distribution"]) == ("temperature", 0.5, "decodekit")
    assert (second["name"], second["distribution"]) == ("two", "")
    assert chain.describe()["sampler"]["name"] == "greedy" and "greedy" in repr(chain)


def test_parts_that_cannot_work_are_refused_when_the_chain_is_made() -> None:
    class Half:
        def initial(self, ctx: Context) -> int:
            return 0

        def __call__(self, dist: Distribution, ctx: Context, state: int) -> Distribution:
            return dist

    with pytest.raises(ParameterError, match=r"has (initial and no advance|advance and no initial): add"):
        Chain([Half()])
    with pytest.raises(ParameterError, match="'greedy' is a sampler; give it as Chain"):
        Chain([decodekit.sampler("greedy")])
