"""check_processor accepts every registered processor, and refuses each one broken on purpose, for the right reason."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import pytest

import decodekit
from decodekit import Context, Distribution, processor
from decodekit.testing import check_processor
from tests.testing.broken_processors import BROKEN, Fatigue, FlagIgnored, draws_and_does_not_use_it

REGISTERED = [
    (processor("temperature", temperature=0.7), {}),
    (processor("temperature", temperature=0.0), {}),
    (processor("temperature", temperature=4.0), {}),
    (processor("temperature", temperature=float("inf")), {}),
    (processor("dynamic_temperature", dynamic_temperature=1.0, spread=0.7), {}),
    (processor("dynamic_temperature", dynamic_temperature=0.5, spread=0.9, exponent=2.0), {}),
    (processor("quadratic", quadratic=0.3), {}),
    (processor("quadratic", quadratic=0.3, curve=4.5), {}),
    (processor("top_k", top_k=3, ties="highest"), {}),
    (processor("top_k", top_k=3, ties="all"), {}),
    (processor("top_p", top_p=0.8, ties="highest", boundary="keep", min_keep=2), {}),
    (processor("top_p", top_p=0.8, ties="all"), {}),
    (processor("min_p", min_p=0.9, min_keep=3, ties="all"), {}),
    (processor("typical_p", typical_p=0.7), {}),
    (processor("typical_p", typical_p=0.7, ties="highest", boundary="keep"), {}),
    (processor("typical_p", typical_p=0.99, min_keep=4, ties="all"), {}),
    (processor("top_n_sigma", top_n_sigma=1.0), {}),
    (processor("top_n_sigma", top_n_sigma=0.1, min_keep=5, ties="highest"), {}),
    (processor("top_a", top_a=0.3), {}),
    (processor("top_a", top_a=1.0, min_keep=2, ties="all"), {}),
    (processor("tfs", tfs=0.9), {}),
    (processor("tfs", tfs=0.3, law="koboldcpp", min_keep=2), {}),
    (processor("tfs", tfs=0.0, ties="all"), {}),
    (processor("epsilon_cutoff", epsilon_cutoff=0.01), {}),
    (processor("epsilon_cutoff", epsilon_cutoff=0.9, ties="all"), {}),
    (processor("eta_cutoff", eta_cutoff=0.01), {}),
    (processor("eta_cutoff", eta_cutoff=0.3, min_keep=2), {}),
    (processor("top_h", top_h=0.5), {}),
    (processor("top_h", top_h=0.9, candidates=7), {}),
    (processor("p_less", p_less=1.0), {}),
    (processor("p_less", p_less=0.1, min_keep=3, ties="highest"), {}),
    (processor("p_less_norm", p_less_norm=1.0), {}),
    (processor("p_less_norm", p_less_norm=0.2), {}),
    (processor("top_k", top_k=1), {}),
    (processor("top_k", top_k=40), {}),
    (processor("top_p", top_p=0.9), {}),
    (processor("top_p", top_p=0.3, min_keep=3), {}),
    (processor("top_p", top_p=1.0), {}),
    (processor("min_p", min_p=0.05), {}),
    (processor("min_p", min_p=0.9, min_keep=2), {}),
    (processor("repetition_penalty", repetition_penalty=1.3), {}),
    (processor("repetition_penalty", repetition_penalty=0.7, scope="output"), {}),
    (processor("repetition_penalty", repetition_penalty=1.3, law="logprobs", window=2), {}),
    (processor("frequency_penalty", frequency_penalty=0.5), {}),
    (processor("presence_penalty", presence_penalty=-0.5, scope="both"), {}),
    (processor("encoder_repetition_penalty", encoder_repetition_penalty=1.3), {}),
    (processor("logit_bias", logit_bias={0: 2.5, 1: -3.0, 5: False}), {"names_ids": True}),
]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("plugin", "flags"), REGISTERED, ids=lambda value: repr(value) if value else "")
def test_every_registered_processor_keeps_the_contract(plugin, flags, seed):
    assert check_processor(plugin, seed=seed, **flags) >= 30


def test_no_registered_processor_of_ours_is_forgotten_here():
    ours = {
        info.name for info in decodekit.plugins() if info.group == "processors" and info.distribution == "decodekit"
    }
    checked = {decodekit.Chain([plugin]).describe()["processors"][0]["name"] for plugin, _ in REGISTERED}
    core = {
        *("temperature", "dynamic_temperature", "quadratic", "logit_bias"),
        *("top_k", "top_p", "min_p", "typical_p", "top_n_sigma", "top_a", "tfs", "top_h", "p_less", "p_less_norm"),
        *("epsilon_cutoff", "eta_cutoff"),
    }
    assert core | {name for name in ours if name.endswith("_penalty")} <= checked


def test_a_plain_function_of_four_lines_passes():
    def drop_even_ids(dist: Distribution, ctx: Context) -> Distribution:
        return dist.keep([i for i in dist.support().tolist() if i % 2])

    check_processor(drop_even_ids, names_ids=True)


def test_a_stateful_processor_with_values_for_states_passes():
    check_processor(Fatigue())


def test_a_stateful_processor_whose_state_is_an_opaque_object_passes():
    class Opaque(Fatigue):
        class State:
            def __init__(self, ids):
                self.ids = ids

        def initial(self, ctx):
            return self.State(())

        def __call__(self, dist, ctx, state):
            return super().__call__(dist, ctx, state.ids)

        def advance(self, state, choice, ctx):
            return self.State((*state.ids, choice.token_id))

    check_processor(Opaque())


@pytest.mark.parametrize(("broken", "why"), BROKEN, ids=lambda v: getattr(v, "__name__", type(v).__name__))
def test_a_processor_broken_on_purpose_is_refused_for_the_right_reason(broken, why):
    with pytest.raises(AssertionError, match=why):
        check_processor(broken)


def test_a_law_that_names_ids_is_told_from_one_that_does_not():
    def prefers_token_one(dist, ctx):
        return dist.add([1], [1.0])

    check_processor(prefers_token_one, names_ids=True)
    with pytest.raises(AssertionError, match="ids are permuted"):
        check_processor(prefers_token_one)


def test_a_processor_that_revives_may_say_so():
    def revives(dist, ctx):
        return dist.with_scores(np.maximum(dist.scores, dist.log_normalizer - 50)) if dist.token_ids is None else dist

    rows = [Distribution.dense([0.0, -math.inf, 1.0])]
    with pytest.raises(AssertionError, match="does not declare revives"):
        check_processor(revives, dists=rows)


def test_a_toss_from_the_context_is_no_global_chance():
    def tosses(dist, ctx):
        return dist.scaled(0.5) if ctx.rng.uniform([0])[0] < 0.5 else dist

    check_processor(tosses)


def test_an_impure_processor_is_run_once_for_each_question_only():
    calls = []

    def foreign(dist, ctx):
        calls.append(dist)
        return dist.scaled(1 + len(calls) / 100)

    foreign.pure = False
    answered = check_processor(foreign)
    assert len(calls) == answered


def test_needs_logits_is_held_against_what_a_chain_does():
    class Deaf(FlagIgnored):
        @property
        def needs_logits(self):
            return False

    check_processor(Deaf())

    class Loud(FlagIgnored):
        asked: ClassVar = [True]  # declared when first read, and gone when the chain reads it

        @property
        def needs_logits(self):
            return bool(Loud.asked and Loud.asked.pop())

    with pytest.raises(AssertionError, match="a chain ran it on logprobs"):
        check_processor(Loud())


def test_own_distributions_and_contexts_are_used():
    seen = []

    def looks(dist, ctx):
        seen.append((dist.vocab_size, tuple(ctx.prompt_ids)))
        return dist

    check_processor(looks, dists=[Distribution.dense(np.arange(7.0))], contexts=[Context((1, 2), (3,))])
    assert {size for size, _ in seen} == {7}
    assert (7, (1, 2)) in seen


def test_a_head_is_not_a_distribution_to_check_on():
    with pytest.raises(AssertionError, match="complete distributions"):
        check_processor(draws_and_does_not_use_it, dists=[Distribution.head([1], [-1.0], 5)])


def test_rows_given_together_must_get_what_they_get_alone() -> None:
    class Warmer:
        def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
            return dist.scaled(0.5)

        def many(self, dists: list[Distribution], ctxs: list[Context]) -> list[Distribution]:
            return [dist.scaled(0.5 + 1e-15) for dist in dists]

    with pytest.raises(AssertionError, match="among others"):
        check_processor(Warmer())
    Warmer.many = lambda self, dists, ctxs: [self(*row) for row in zip(dists, ctxs, strict=True)][1:]  # type: ignore[method-assign]
    with pytest.raises(AssertionError, match="distributions for"):
        check_processor(Warmer())
    Warmer.many = lambda self, dists, ctxs: [self(*row) for row in zip(dists, ctxs, strict=True)]  # type: ignore[method-assign]
    assert check_processor(Warmer())


def test_a_processor_that_encodes_a_word_is_not_blamed_for_a_small_vocabulary() -> None:
    def looks_up_x(dist: Distribution, ctx: Context) -> Distribution:
        assert ctx.tokenizer is not None
        return dist.scaled(1.0 + len(ctx.tokenizer.encode("x")))

    assert check_processor(looks_up_x) > 0


def test_a_class_is_no_processor_yet() -> None:
    with pytest.raises(AssertionError, match=r"TopP is a class. Build one: TopP\(...\)"):
        check_processor(type(decodekit.processor("top_p", top_p=0.9)))
