"""Random numbers of processors: each from its own domain, and recorded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from decodekit import (
    Chain,
    Context,
    Distribution,
    PluginError,
    Randomness,
)
from decodekit.draw.randomness import PROCESSORS, derive
from tests.chain.parts import FOUR, NOISE


def xtc(dist: Distribution, ctx: Context) -> Distribution:
    """Exclude the top choice, half of the time."""
    assert ctx.rng is not None
    return dist.keep(dist.order[1:]) if ctx.rng.uniform([0])[0] < 0.5 else dist


def other(dist: Distribution, ctx: Context) -> Distribution:
    assert ctx.rng is not None
    ctx.rng.gumbel(np.arange(3))
    return dist


def tosses(*processors: Any, seed: int = 3, steps: int = 12) -> list[list[tuple]]:
    chain = Chain(processors)
    rows = []
    for n in range(steps):
        ctx = Context(output_ids=(0,) * n)
        _, _, entries, _ = chain.step(FOUR, ctx, chain.initial(ctx), Randomness(seed).at(n))
        rows.append([entry.tosses for entry in entries])
    return rows


def test_a_coin_comes_from_its_own_domain_and_is_recorded() -> None:
    (row,) = tosses(xtc, steps=1)
    word = Randomness(3).words([0], step=0, domain=PROCESSORS, draw=derive(0, "xtc", 0))
    assert row == [((0, int(word[0])),)]
    flips = [row[0][0][1] < 2**63 for row in tosses(xtc, steps=64)]
    assert 8 < sum(flips) < 56  # 64 fair coins: outside with p = 3e-10
    assert tosses(xtc) == tosses(xtc) and tosses(xtc) != tosses(xtc, seed=4)
    for lane, w in tosses(other, steps=1)[0][0]:
        assert type(lane) is int and type(w) is int


def test_processors_of_other_names_shift_no_coin_and_equal_names_have_their_own() -> None:
    alone = [row[0] for row in tosses(xtc)]
    assert [row[1] for row in tosses(other, xtc)] == alone == [row[0] for row in tosses(xtc, other, other)]
    pairs = tosses(xtc, xtc)
    assert [row[0] for row in pairs] == alone and all(row[0] != row[1] for row in pairs)


def test_another_attempt_tosses_the_coin_anew() -> None:
    chain = Chain([xtc])
    ctx = Context()
    plain = chain.step(FOUR, ctx, chain.initial(ctx), NOISE.at(0))
    rewound = chain.step(FOUR, ctx, chain.initial(ctx), NOISE.at(0, draw=1))
    again = chain.step(FOUR, ctx, chain.initial(ctx), NOISE.at(0, draw=1))
    assert plain[2][0].tosses != rewound[2][0].tosses == again[2][0].tosses


def test_a_processor_that_tosses_needs_dice() -> None:
    with pytest.raises(PluginError, match="xtc"):
        Chain([xtc]).apply(FOUR, Context())
    for seed in range(8):
        chain = Chain([xtc])
        final, *_ = chain.step(FOUR, Context(), chain.initial(Context()), Randomness(seed).at(0))
        applied = chain.apply(FOUR, Context(rng=Randomness(seed).at(0)))
        assert applied.support().tolist() == final.support().tolist()


def test_only_the_first_words_of_a_processor_that_draws_many_are_recorded() -> None:
    def many(dist: Distribution, ctx: Context) -> Distribution:
        assert ctx.rng is not None
        for lanes in (range(10), [100, 200], range(1000)):
            ctx.rng.uniform(lanes)
        return dist

    ((recorded,),) = tosses(many, steps=1)
    assert [lane for lane, _ in recorded] == [*range(10), 100, 200, 0, 1, 2, 3]
