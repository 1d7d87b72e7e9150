"""check_processor accepts every registered processor, and refuses each one broken on purpose, for the right reason."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import pytest
from pydantic import Field

import decodekit
from decodekit import Context, Disclosure, Distribution, EmptySupport, Plugin, processor
from decodekit.testing import check_processor

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


# -- stateful ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fatigue:
    """A right stateful processor: each choice makes its token a little less likely."""

    step: float = 0.5

    def initial(self, ctx):
        return ()

    def __call__(self, dist, ctx, state):
        return dist.add(list(state), [-self.step] * len(state)) if state else dist

    def advance(self, state, choice, ctx):
        return (*state, choice.token_id)


class SharesAList(Fatigue):
    """The state is one list, and every branch appends to it."""

    def initial(self, ctx):
        return []

    def advance(self, state, choice, ctx):
        state.append(choice.token_id)
        return state


class KeepsItOnItself(Fatigue):
    """Remembers on the object: branches and runs share it."""

    def initial(self, ctx):
        return 0

    def __call__(self, dist, ctx, state):
        object.__setattr__(self, "count", getattr(self, "count", 0) + 1)
        return dist.scaled(1 / (1 + 0.01 * self.count))

    def advance(self, state, choice, ctx):
        return state


class ChangesItsStateWhenCalled(Fatigue):
    def initial(self, ctx):
        return {"calls": 0}

    def __call__(self, dist, ctx, state):
        state["calls"] += 1
        return dist

    def advance(self, state, choice, ctx):
        return dict(state)


class AdvancesByChance(Fatigue):
    def initial(self, ctx):
        return 1.0

    def __call__(self, dist, ctx, state):
        return dist.scaled(state)

    def advance(self, state, choice, ctx):
        return next(FRESH)


FRESH = (1 + 0.01 * i for i in range(10**9))


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


# -- broken on purpose ------------------------------------------------------------------------------------------------


def mutates_its_input(dist, ctx):
    dist.row.values.flags.writeable = True
    dist.row.values[0] += 1.0
    dist.row.values.flags.writeable = False
    return dist


def makes_its_input_writable(dist, ctx):
    dist.row.values.flags.writeable = True
    return dist


def unmasks(dist, ctx):
    if dist.token_ids is not None:
        return dist
    return dist.with_scores(np.maximum(dist.scores, dist.scores.max() - 50))


def uses_the_global_numpy_random_state(dist, ctx):
    return dist.scaled(1.0 + np.random.random())


def uses_the_global_random_state(dist, ctx):
    return dist.scaled(random.choice([0.5, 0.6, 0.7]))


def draws_and_does_not_use_it(dist, ctx):
    random.random()
    return dist


def answers_by_the_clock(dist, ctx, _seen=iter(range(10**9))):  # noqa: B008 - the fault under test
    return dist.scaled(1 + next(_seen) / 1000)


def renumbers_the_ids(dist, ctx):
    ids, logprobs = dist.leading(3)
    return Distribution.head(range(len(ids)), logprobs, dist.vocab_size).truncated()


def drops_ids_of_sparse_input(dist, ctx):
    return dist if dist.token_ids is None or dist.tail is not None else dist.top(max(1, dist.support_size - 1))


def makes_nan(dist, ctx):
    if dist.tail is not None:
        return dist
    after = dist.with_scores(dist.scores)
    after.row.values.flags.writeable = True
    after.row.values[-1] = math.nan
    after.row.values.flags.writeable = False
    return after


def shortens_the_vocabulary(dist, ctx):
    return Distribution.dense(dist.scores[:-1])


def returns_an_array(dist, ctx):
    return dist.scores


def returns_a_writable_one(dist, ctx):
    after = dist.scaled(2)
    object.__setattr__(after.row, "values", after.row.values.copy())
    return after


def raises_at_one_token(dist, ctx):
    if dist.support_size == 1:
        raise ZeroDivisionError
    return dist


def empties_without_a_word(dist, ctx):
    return dist.keep(np.zeros(len(dist.scores), dtype=bool))


def asks_for_more_of_everything(dist, ctx):
    raise decodekit.Undisclosed(Disclosure(5))


def asks_for_ever(dist, ctx):
    if dist.tail is not None:
        raise decodekit.Undisclosed(Disclosure(1))
    return dist


def renormalises_a_head(dist, ctx):
    """The classic: a threshold on the probabilities of what happens to be shown."""
    shown = dist.truncated()
    return shown.keep(shown.scores >= math.log(0.01) + shown.log_normalizer)


def cuts_a_head_without_looking(dist, ctx):
    """top_k of four, also of three shown tokens."""
    return dist.truncated().top(4)


def biases_a_head_beyond_its_tail(dist, ctx):
    """Lifts the hidden tokens in the whole, and not the bounds of the tail."""
    if dist.tail is not None:
        return dist
    scores = dist.scores
    return dist.with_scores(np.where(scores < scores.max(), scores + 3.0, scores))


def depends_on_the_offset(dist, ctx):
    """The law of the repetition penalty, undeclared."""
    return dist.with_scores(np.where(dist.scores > 0, dist.scores / 2, dist.scores * 2))


def prefers_low_ids(dist, ctx):
    return dist.add([0], [1.0]) if dist.tail is None else dist.add([int(dist.token_ids[0])], [0.0])


def flips_the_mode(dist, ctx):
    if dist.tail is not None or dist.support_size < 2:
        return dist
    return dist.add([dist.mode], [-1000.0])


flips_the_mode.argmax_invariant = True  # type: ignore[attr-defined]


def leaves_a_tail(dist: Distribution, ctx: Context) -> Distribution:
    return dist


leaves_a_tail.truncates = True  # type: ignore[attr-defined]


def always_empty(dist, ctx):
    raise EmptySupport("nothing is good enough")


def refuses_everything(dist, ctx):
    raise decodekit.ParameterError("no")


class Unbounded(Plugin):
    strength: float

    def __call__(self, dist, ctx):
        return dist


class UnboundedInside(Plugin):
    strengths: list[Annotated[int, Field(ge=0)]]
    mode: Annotated[int, Field(ge=0, le=3)] = 0

    def __call__(self, dist, ctx):
        return dist


class FlagIgnored(Plugin):
    """A sibling of the repetition penalty that declares needs_logits, as a chain would not see it."""

    def __call__(self, dist, ctx):
        return dist


BROKEN = [
    (mutates_its_input, "changed the distribution it was given"),
    (makes_its_input_writable, "made the distribution it was given writable"),
    (unmasks, "gave probability to token"),
    (uses_the_global_numpy_random_state, "two answers to one question"),
    (uses_the_global_random_state, "two answers to one question|global random state"),
    (draws_and_does_not_use_it, "global random state"),
    (answers_by_the_clock, "two answers to one question"),
    (renumbers_the_ids, "gave probability to token|with a tail|kept|permuted"),
    (drops_ids_of_sparse_input, "kept 1 and 2 tokens"),
    (makes_nan, "made NaN"),
    (shortens_the_vocabulary, "turned a vocabulary of 2 into one of 1"),
    (returns_an_array, "returned ndarray"),
    (returns_a_writable_one, "can be written to"),
    (raises_at_one_token, "raised ZeroDivisionError"),
    (empties_without_a_word, "gave no result"),
    (asks_for_more_of_everything, "asks for more of a complete distribution"),
    (renormalises_a_head, "on the 1 leading tokens"),
    (cuts_a_head_without_looking, "leading tokens"),
    (biases_a_head_beyond_its_tail, "hidden tokens have|moved the shown tokens"),
    (depends_on_the_offset, "does not declare needs_logits"),
    (prefers_low_ids, "leading tokens|permuted"),
    (flips_the_mode, "declares argmax_invariant and moved the mode"),
    (leaves_a_tail, "declares truncates and left a tail"),
    (always_empty, "gave no result"),
    (refuses_everything, "refused"),
    (Unbounded(strength=1.0), "least and a greatest value: strength"),
    (UnboundedInside(strengths=[1]), "least and a greatest value: strengths"),
    (SharesAList(), "changed its state in advance"),
    (KeepsItOnItself(), "two answers to one question"),
    (ChangesItsStateWhenCalled(), "changed its state when it was called"),
    (AdvancesByChance(), "gave two states"),
    ("temperature", "is not callable"),
]


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
