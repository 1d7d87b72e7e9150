"""A step in two halves: the choice first, the notes and the states later, and together they are `Chain.step`."""

from __future__ import annotations

import math

import numpy as np
import pytest

from decodekit import Chain, Context, Distribution, PluginError, Randomness, processor
from decodekit.draw.context import TokenIds

ROW = np.random.default_rng(4).normal(0, 2, 40)
CTX = Context(TokenIds([1, 2, 3]), TokenIds([4, 5]))
CHAIN = Chain(
    [
        processor("repetition_penalty", repetition_penalty=1.3),
        processor("mirostat_v2", mirostat_v2=3.0),
        processor("xtc", xtc=0.5, threshold=0.05),
    ]
)


def test_the_halves_together_are_a_step() -> None:
    for step in range(20):
        noise, dist = Randomness(9).at(step), Distribution.dense(ROW)
        states = CHAIN.initial(CTX)
        final, choice, entries, after = CHAIN.step(dist, CTX, states, noise, top=3)
        reshaped = CHAIN.reshape(dist, CTX, states, noise)
        drawn, reshaped = reshaped.choose(noise)
        assert drawn.token_id == choice.token_id and drawn.rank is None and drawn.raw_logprob is None
        assert reshaped.settle(drawn, top=3) == (choice, entries)
        assert reshaped.states_after(drawn) == after
        assert np.array_equal(reshaped.final.scores, final.scores)


def test_the_states_follow_whatever_choice_is_given_and_nothing_runs_twice() -> None:
    calls = []

    class Counting:
        name = "counting"

        def initial(self, ctx: Context) -> int:
            return 0

        def __call__(self, dist: Distribution, ctx: Context, state: int) -> Distribution:
            calls.append(state)
            return dist

        def advance(self, state: int, choice: object, ctx: Context) -> int:
            return state + choice.token_id  # type: ignore[attr-defined]

    chain = Chain([Counting()])
    noise = Randomness(1).at(0)
    reshaped = chain.reshape(Distribution.dense(ROW), CTX, chain.initial(CTX), noise)
    drawn, reshaped = reshaped.choose(noise)
    assert reshaped.states_after(drawn)[0] == drawn.token_id
    reshaped.settle(drawn)
    assert calls == [0]


def test_a_tail_that_the_sampler_gives_up_is_noted() -> None:
    ids = np.argsort(-ROW)[:2]
    head = Distribution.head(ids, Distribution.dense(ROW).logprobs_of(ids) - 2.0, len(ROW))
    chain, noise = Chain([], "inverse_cdf"), Randomness(1).at(0)
    reshaped = chain.reshape(head, CTX, chain.initial(CTX), noise, truncate=True)
    drawn, truncated = reshaped.choose(noise, truncate=True)
    assert reshaped.final.tail is not None and truncated.final.tail is None
    (entry,) = truncated.settle(drawn)[1]
    assert entry.name == "inverse_cdf" and entry.gave_up == head.tail


def test_a_processor_that_revives_a_token_is_found_out_by_the_notes() -> None:
    banned = Distribution.dense(np.where(np.arange(40) == 7, -math.inf, ROW))

    def whole(dist: Distribution, ctx: Context) -> Distribution:
        return Distribution.dense(ROW)

    chain, noise = Chain([whole]), Randomness(1).at(0)
    drawn, reshaped = chain.reshape(banned, CTX, chain.initial(CTX), noise).choose(noise)
    with pytest.raises(PluginError, match="gave probability to token 7"):
        reshaped.settle(drawn)


@pytest.mark.parametrize("parts", [{"top_k": 5}, {"top_k": 5, "temperature": 0.7}, {"top_p": 0.6}, {"min_p": 0.3}])
def test_the_notes_on_a_head_are_those_on_the_whole_row(parts: dict[str, float]) -> None:
    whole = Distribution.dense(ROW)
    head = Distribution.head(whole.order[:30], whole.logprobs_of(whole.order[:30]), 40, entropy=whole.entropy)
    chain = Chain([processor(name, **{name: value}) for name, value in parts.items()])
    noise = Randomness(3).at(2)
    notes = [chain.step(dist, CTX, chain.initial(CTX), noise, top=3)[1:3] for dist in (whole, head)]
    (choice, entries), (other, others) = notes
    assert (choice.token_id, choice.rank) == (other.token_id, other.rank)
    for entry, same in zip(entries, others, strict=True):
        assert entry.support == same.support and [token for token, _ in entry.top] == [token for token, _ in same.top]
        for name in ("entropy", "kl", "mass_removed", "chosen"):
            assert getattr(entry, name) == pytest.approx(getattr(same, name), abs=1e-12)
