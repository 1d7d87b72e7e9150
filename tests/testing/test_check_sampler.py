"""check_sampler accepts the core's samplers, and refuses each one broken on purpose, for the right reason."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import pytest

import decodekit
from decodekit import Choice, Distribution
from decodekit.draw.samplers import greedy, inverse_cdf, multinomial
from decodekit.testing import check_sampler


@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
@pytest.mark.parametrize("sampler", [multinomial, inverse_cdf])
def test_the_samplers_that_draw_keep_the_contract_and_the_law(sampler, seed):
    p = check_sampler(sampler, seed=min(seed, 2**64 - 2))
    assert p is not None and 1e-6 < p <= 1


def test_greedy_keeps_the_contract_and_draws_nothing():
    assert check_sampler(greedy, law="greedy", draws=False) is None


def test_greedy_is_no_multinomial_and_multinomial_not_greedy():
    with pytest.raises(AssertionError, match="same noise at every step"):
        check_sampler(greedy)
    with pytest.raises(AssertionError, match="the mode is"):
        check_sampler(multinomial, law="greedy")


def test_a_sampler_said_not_to_draw_may_not():
    with pytest.raises(AssertionError, match="called with draws=False"):
        check_sampler(multinomial, law=None, draws=False)


def choice(dist: Distribution, token: int, **fields) -> Choice:
    made = Choice(token, dist.logprob(token))
    return replace(made, **fields)


def uses_global_random(dist, ctx, randomness):
    return choice(dist, random.choice(dist.support().tolist()))


def uses_numpy_global_random(dist, ctx, randomness):
    return choice(dist, int(np.random.choice(dist.support())))


def picks_masked_tokens(dist, ctx, randomness):
    token = int(randomness.uniform([0])[0] * 2)
    return Choice(token, dist.logprob(token))


def is_too_sharp(dist, ctx, randomness):
    """Draws right, at a temperature of 0.8."""
    made = multinomial(dist.scaled(1.25), ctx, randomness)
    return replace(made, logprob=None if made.logprob is None else dist.logprob(made.token_id))


def is_uniform_in_32_levels(dist, ctx, randomness):
    """A uniform of five bits."""
    ids = np.sort(dist.support())
    u = (int(randomness.words([0])[0] >> np.uint64(59)) + 0.5) / 32
    cumulative = np.cumsum(np.exp(dist.logprobs_of(ids)))
    return choice(dist, int(ids[min(int(np.searchsorted(cumulative, u)), len(ids) - 1)]))


def at_step(step):
    def sampler(dist, ctx, randomness):
        return multinomial(dist, ctx, replace(randomness, step=step))

    return sampler


def forgets_the_stream(dist, ctx, randomness):
    source = decodekit.Randomness(randomness.seed, 0)
    return replace(multinomial(dist, ctx, replace(randomness, source=source)), draw=None)


def adds_step_and_stream(dist, ctx, randomness):
    source = decodekit.Randomness(randomness.seed, randomness.step + randomness.stream)
    return replace(multinomial(dist, ctx, replace(randomness, source=source, step=0)), draw=None)


def forgets_the_seed(dist, ctx, randomness):
    source = decodekit.Randomness(7, randomness.stream)
    return replace(multinomial(dist, ctx, replace(randomness, source=source)), draw=None)


def forgets_the_attempt(dist, ctx, randomness):
    return replace(multinomial(dist, ctx, replace(randomness, draw=0)), draw=None)


def reports_another_word(dist, ctx, randomness):
    made = multinomial(dist, ctx, randomness)
    return replace(made, draw=replace(made.draw, word=made.draw.word ^ 1))


def reports_the_raw_logprob(dist, ctx, randomness):
    made = multinomial(dist, ctx, randomness)
    return replace(made, logprob=None if made.logprob is None else made.logprob - 0.5)


def has_a_negative_margin(dist, ctx, randomness):
    return replace(multinomial(dist, ctx, randomness), margin=-1e-3)


def has_no_margin(dist, ctx, randomness):
    return replace(multinomial(dist, ctx, randomness), margin=math.nan)


def runs_up_itself(dist, ctx, randomness):
    made = multinomial(dist, ctx, randomness)
    return replace(made, runner_up=made.token_id)


def draws_from_the_head_alone(dist, ctx, randomness):
    return multinomial(dist.truncated(), ctx, randomness)


def overlooks_the_hidden_second(dist, ctx, randomness):
    """The right winner of a head, and a margin that only the shown tokens had a part in."""
    made = multinomial(dist, ctx, randomness)
    return made if dist.tail is None else replace(made, margin=multinomial(dist.truncated(), ctx, randomness).margin)


def draws_by_position(dist, ctx, randomness):
    """Noise by rank instead of by id: the order decides."""
    ids = dist.support()
    noise = randomness.gumbel(range(len(ids)))
    return choice(dist, int(ids[np.argmax(dist.scores_of(ids) + noise)]))


def depends_on_the_padding(dist, ctx, randomness):
    noise = randomness.gumbel(range(dist.vocab_size))[::-1]
    scores = dist.scores_of(np.arange(dist.vocab_size))
    return choice(dist, int(np.argmax(scores + noise)))


def depends_on_the_offset(dist, ctx, randomness):
    noise = randomness.gumbel(range(dist.vocab_size))
    with np.errstate(over="ignore", invalid="ignore"):
        scores = dist.scores_of(np.arange(dist.vocab_size))
        bent = np.where(scores > 0, scores * 1.5, scores)
    return choice(dist, int(np.argmax(bent + noise)))


def gives_a_numpy_integer(dist, ctx, randomness):
    made = multinomial(dist, ctx, randomness)
    return replace(made, token_id=np.int64(made.token_id))


def gives_the_id_alone(dist, ctx, randomness):
    return multinomial(dist, ctx, randomness).token_id


def mutates(dist, ctx, randomness):
    made = multinomial(dist, ctx, randomness)
    dist.row.values.flags.writeable = True
    dist.row.values[:] += 1
    return made


BROKEN = [
    (uses_global_random, "same step of the same stream|global random state"),
    (uses_numpy_global_random, "same step of the same stream|global random state"),
    (picks_masked_tokens, "which has no probability"),
    (is_too_sharp, "does not draw from the distribution"),
    (is_uniform_in_32_levels, "does not draw from the distribution|leading|chose"),
    (at_step(0), "recorded Draw"),
    (forgets_the_stream, "same noise in every stream"),
    (adds_step_and_stream, "confuses step and stream"),
    (forgets_the_seed, "does not depend on the seed"),
    (forgets_the_attempt, "same noise after a rewind"),
    (reports_another_word, "recorded the word"),
    (reports_the_raw_logprob, "the logprob"),
    (has_a_negative_margin, "a margin is a distance"),
    (has_no_margin, "a margin is a distance"),
    (runs_up_itself, "its own runner-up"),
    (draws_from_the_head_alone, "where hidden tokens could win"),
    (overlooks_the_hidden_second, "a hidden token may come second"),
    (draws_by_position, "listed by score|on Distribution|padded"),
    (depends_on_the_padding, "with the vocabulary padded"),
    (depends_on_the_offset, "after a constant was added"),
    (gives_a_numpy_integer, "an int, not int64"),
    (gives_the_id_alone, "returned int, not a Choice"),
    (mutates, "changed the distribution it was given"),
    (42, "is no part of a chain"),
]


@pytest.mark.parametrize(("broken", "why"), BROKEN, ids=lambda v: getattr(v, "__name__", type(v).__name__))
def test_a_sampler_broken_on_purpose_is_refused_for_the_right_reason(broken, why):
    with pytest.raises(AssertionError, match=why):
        check_sampler(broken)


def test_the_same_noise_at_every_step_is_seen_even_without_a_recorded_draw():
    def reuses(dist, ctx, randomness):
        return replace(multinomial(dist, ctx, replace(randomness, step=0)), draw=None)

    with pytest.raises(AssertionError, match="same noise at every step"):
        check_sampler(reuses)


def test_a_stateful_sampler_is_given_its_state():
    class Counting:
        def initial(self, ctx):
            return 0

        def __call__(self, dist, ctx, randomness, state):
            assert state == 0
            return multinomial(dist, ctx, randomness)

        def advance(self, state, choice, ctx):
            return state + 1

    check_sampler(Counting())


def test_another_law_is_checked_for_everything_but_its_law():
    assert check_sampler(is_too_sharp, law=None) is None
