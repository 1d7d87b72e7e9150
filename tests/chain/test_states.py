"""States of processors and samplers: values that advance once for a token."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from decodekit import (
    Chain,
    Choice,
    Context,
    Distribution,
    PluginError,
)
from decodekit.draw.samplers import greedy
from tests.chain.parts import FOUR, INF, NOISE, hot, step, two


@dataclass(frozen=True)
class NoRepeat:
    """Bans what was chosen in the last n steps; its memory is the tuple of those tokens."""

    n: int = 2
    name = "no_repeat"

    def initial(self, ctx: Context) -> tuple[int, ...]:
        return ()

    def __call__(self, dist: Distribution, ctx: Context, state: tuple[int, ...]) -> Distribution:
        return dist.add(list(state), -INF) if state else dist

    def advance(self, state: tuple[int, ...], choice: Choice, ctx: Context) -> tuple[int, ...]:
        return (*state, choice.token_id)[-self.n :]


def test_a_stateful_processor_advances_once_after_the_choice_and_its_states_never_change() -> None:
    chain, states, chosen = Chain([hot, NoRepeat()]), None, []
    history = []
    for _ in range(30):
        ctx = Context(output_ids=tuple(chosen))
        states = chain.initial(ctx) if states is None else states
        again = chain.step(FOUR, ctx, states, NOISE.at(ctx.step))
        final, choice, _, after = chain.step(FOUR, ctx, states, NOISE.at(ctx.step))
        assert again[1] == choice and again[3] == after  # the same state gives the same step
        history.append((states, states[1]))
        assert after == (None, (*states[1], choice.token_id)[-2:], None)
        assert choice.token_id not in states[1] and final.support_size == 4 - len(states[1])
        chosen.append(choice.token_id)
        states = after
    assert all(states[1] == kept for states, kept in history)
    assert all(len(set(window)) == 3 for window in zip(chosen, chosen[1:], chosen[2:], strict=False))


def test_applying_a_chain_starts_stateful_processors_afresh() -> None:
    assert Chain([NoRepeat()]).apply(FOUR, Context(output_ids=(0, 0))).support_size == 4


def test_a_stateful_sampler_has_its_state_last() -> None:
    class RoundRobin:
        def initial(self, ctx: Context) -> int:
            return 0

        def __call__(self, dist: Distribution, ctx: Context, randomness: Any, state: int) -> Choice:
            token = int(dist.support()[state % dist.support_size])
            return Choice(token, dist.logprob(token))

        def advance(self, state: int, choice: Choice, ctx: Context) -> int:
            return state + 1

    chain = Chain([two], RoundRobin())
    states, tokens = chain.initial(Context()), []
    for n in range(4):
        _, choice, _, states = chain.step(FOUR, Context(output_ids=(0,) * n), states, NOISE.at(n))
        tokens.append(choice.token_id)
    assert tokens == [0, 1, 0, 1] and states == (None, 4)


class Witness:
    """Keeps what `advance` was told: how likely the token was before and after, and which one it was."""

    name = "witness"
    looks_back = True

    def initial(self, ctx: Context) -> tuple[Any, ...]:
        return ()

    def __call__(self, dist: Distribution, ctx: Context, state: tuple[Any, ...]) -> Distribution:
        return dist.scaled(3.0)

    def advance(self, state: tuple[Any, ...], choice: Choice, ctx: Context, before: Distribution) -> tuple[Any, ...]:
        return (choice.token_id, before.logprob(choice.token_id), choice.logprob)


def test_a_memory_that_looks_back_is_given_what_its_processor_saw() -> None:
    chain = Chain([two, Witness(), hot], "greedy")
    _, choice, entries, (_, told, *_) = chain.step(FOUR, Context(), chain.initial(Context()), NOISE.at(0))
    assert told == (choice.token_id, entries[0].chosen, choice.logprob)
    assert len({*told[1:], choice.raw_logprob}) == 3  # before it, after the chain, and raw: three numbers


def test_a_sampler_that_looks_back_is_given_the_final_distribution() -> None:
    class Last(Witness):
        def __call__(self, dist: Distribution, ctx: Context, randomness: Any, state: Any) -> Choice:  # type: ignore[override]
            return greedy(dist, ctx, randomness)

    chain = Chain([two], Last())
    final, choice, _, (_, told) = chain.step(FOUR, Context(), chain.initial(Context()), NOISE.at(0))
    assert told == (choice.token_id, final.logprob(choice.token_id), choice.logprob)


def test_a_forced_choice_is_what_states_advance_by() -> None:
    chain = Chain([NoRepeat()], "greedy")
    states = chain.initial(Context())
    _, drawn, _, after = chain.step(FOUR, Context(), states, NOISE.at(0))
    other = replace(drawn, token_id=drawn.token_id + 1)
    _, again, _, forced = chain.step(FOUR, Context(), states, NOISE.at(0), forced=other)
    assert again == drawn and after == ((drawn.token_id,), None) and forced == ((other.token_id,), None)


@pytest.mark.parametrize("method", ["initial", "advance"])
def test_an_error_in_a_memory_names_the_plugin_too(method: str) -> None:
    class Broken(NoRepeat):
        pass

    setattr(Broken, method, lambda *_: 1 / 0)
    with pytest.raises(PluginError, match="raised ZeroDivisionError") as caught:
        step(Chain([Broken()]))
    assert caught.value.plugin == "no_repeat"
