"""Processors broken on purpose, one fault each, and the reason for which each must be refused."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

import decodekit
from decodekit import Context, Disclosure, Distribution, EmptySupport, Plugin
from tests.testing.broken_rows import with_values


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
    spoiled = dist.scores.copy()
    spoiled[-1] = math.nan
    spoiled.flags.writeable = False
    return with_values(dist.with_scores(dist.scores), spoiled)


def shortens_the_vocabulary(dist, ctx):
    return Distribution.dense(dist.scores[:-1])


def returns_an_array(dist, ctx):
    return dist.scores


def returns_a_writable_one(dist, ctx):
    after = dist.scaled(2)
    return with_values(after, after.row.values.copy())


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
    ("temperature", "is no part of a chain"),
]
