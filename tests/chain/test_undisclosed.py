"""What a chain asks for, and what it does with less."""

from __future__ import annotations

from typing import Any

import pytest

import decodekit
from decodekit import (
    ALL,
    CHEAP,
    Chain,
    Choice,
    Context,
    Disclosure,
    Distribution,
    PluginError,
    Undisclosed,
)
from decodekit.draw.samplers import inverse_cdf
from tests.chain.parts import HEAD, half, hot, step, two


def test_the_first_question_is_the_union_of_what_the_processors_declare() -> None:
    def names(dist: Distribution, ctx: Context) -> Distribution:
        return dist

    names.needs = lambda ctx: Disclosure(None, tuple(ctx.output_ids))  # type: ignore[attr-defined]
    topk = decodekit.processor("top_k", top_k=7)
    ctx = Context(output_ids=(4, 2))
    assert Chain([two]).need(ctx) == CHEAP == Chain().need(ctx)
    assert Chain([two, topk]).need(ctx) == Disclosure(7)
    assert Chain([names, two, topk]).need(ctx) == Disclosure(7, (4, 2))
    typical = decodekit.processor("typical_p", typical_p=0.9)
    assert Chain([typical, topk]).need(ctx) == ALL
    assert Chain([two, topk, names, typical]).need(ctx) == Disclosure(7)  # seven tokens are all there is after top_k


def test_undisclosed_passes_through_with_its_need() -> None:
    with pytest.raises(Undisclosed) as caught:
        step(Chain([lambda dist, _: dist.top(3)]), HEAD)
    assert caught.value.need == Disclosure(3)
    with pytest.raises(Undisclosed) as caught:
        step(Chain([], "inverse_cdf"), HEAD)
    assert caught.value.need == ALL


def test_giving_up_the_tail_is_noted_where_it_happened() -> None:
    final, _, entries, _ = step(Chain([hot, lambda dist, _: dist.top(3), hot]), HEAD, truncate=True)
    assert [entry.gave_up is not None for entry in entries] == [False, True, False]
    tail = entries[1].gave_up
    assert tail == HEAD.scaled(0.5).tail and entries[1].support == 2 and final.support().tolist() == [0, 1]
    assert (entries[1].kl, entries[1].mass_removed) == (0.0, 0.0)  # against the head that was left
    final, choice, entries, _ = step(Chain([hot], "inverse_cdf"), HEAD, truncate=True)
    assert entries[-1].name == "inverse_cdf" and entries[-1].gave_up == HEAD.scaled(0.5).tail
    assert final.tail is None and choice.token_id in (0, 1)
    _, _, entries, _ = step(Chain([half]), HEAD, truncate=True)  # 1/2 + 1/4 reach 0.6: nothing had to be given up
    assert entries[0].gave_up is None


class Counting:
    """A foreign processor with a memory of its own."""

    pure = False
    name = "foreign"

    def __init__(self, asks: bool = False) -> None:
        self.runs, self.asks = 0, asks

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        self.runs += 1
        return dist.top(3) if self.asks else dist


@pytest.mark.parametrize("truncate", [False, True])
@pytest.mark.parametrize("asks", [False, True])
def test_an_impure_processor_is_never_run_twice_for_a_step(truncate: bool, asks: bool) -> None:
    foreign = Counting(asks)
    chain = Chain([foreign, lambda dist, _: dist.top(3)])
    assert chain.need(Context()) == ALL and not chain.pure
    if truncate and not asks:
        _, _, entries, _ = step(chain, HEAD, truncate=True)
        assert entries[1].gave_up is not None
    else:
        with pytest.raises(PluginError, match="cannot run again on a larger answer") as caught:
            step(chain, HEAD, truncate=truncate)
        assert caught.value.plugin == "foreign"
    assert foreign.runs == 1


@pytest.mark.parametrize("truncate", [False, True])
def test_an_impure_sampler_is_never_run_twice_for_a_step(truncate: bool) -> None:
    runs = []

    def foreign(dist: Distribution, ctx: Context, randomness: Any) -> Choice:
        runs.append(1)
        return inverse_cdf(dist, ctx, randomness)

    foreign.pure = False  # type: ignore[attr-defined]
    chain = Chain([], foreign)
    assert chain.need(Context()) == ALL
    with pytest.raises(PluginError, match="cannot run again") as caught:
        step(chain, HEAD, truncate=truncate)
    assert (caught.value.plugin, len(runs)) == ("foreign", 1)
