"""The user's list is the program: its order, its errors, its coins, its memory, and the notes on what each part did."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
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
    DistributionError,
    EmptySupport,
    ParameterError,
    PluginError,
    Randomness,
    Undisclosed,
)
from decodekit.draw.randomness import PROCESSORS, derive
from decodekit.draw.samplers import greedy, inverse_cdf, multinomial

LOG, INF = math.log, math.inf
# Probabilities 1/2, 1/4, 1/8, 1/8.
FOUR = Distribution.dense([LOG(1 / 2) + 2, LOG(1 / 4) + 2, LOG(1 / 8) + 2, LOG(1 / 8) + 2])
HEAD = Distribution.head([0, 1], [LOG(1 / 2), LOG(1 / 4)], 4)
NOISE = Randomness(1)


def two(dist: Distribution, ctx: Context) -> Distribution:
    return dist.top(2)


def hot(dist: Distribution, ctx: Context) -> Distribution:
    return dist.scaled(0.5)


def half(dist: Distribution, ctx: Context) -> Distribution:
    return dist.nucleus(0.6)


def step(chain: Chain, dist: Distribution = FOUR, ctx: Context | None = None, **options: Any) -> tuple:
    ctx = ctx or Context()
    return chain.step(dist, ctx, chain.initial(ctx), NOISE.at(ctx.step), **options)


# -- order and notes -----------------------------------------------------------------------------------------------


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


# -- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "kind", "says"),
    [
        (lambda *_: None, PluginError, "returns a Distribution, not NoneType"),
        (lambda dist, _: dist.scores, PluginError, "returns a Distribution, not ndarray"),
        (lambda *_: Distribution.dense([0.0] * 5), PluginError, "vocabulary of 4 into one of 5"),
        (lambda dist, _: dist.scores.__setitem__(0, 9.0), PluginError, "read-only"),
        (lambda dist, _: dist.with_scores(dist.scores * math.nan), DistributionError, "4 of 4 scores are NaN"),
        (lambda dist, _: dist.with_scores(dist.scores + INF), DistributionError, r"\+inf"),
        (lambda dist, _: dist.keep([]), EmptySupport, "no token is left"),
        (lambda dist, _: dist.keep([99]), PluginError, "token id 99 lies outside the vocabulary of 4"),
        (lambda *_: 1 / 0, PluginError, "raised ZeroDivisionError: division by zero"),
        (lambda _, ctx: ctx.nonsense, PluginError, "raised AttributeError"),
    ],
)
def test_what_a_processor_does_wrong_is_reported_with_its_name_and_step(wrong: Any, kind: type, says: str) -> None:
    ctx = Context(output_ids=(1, 2, 3))
    wrong.__name__ = "wrong"
    for call in (lambda: Chain([hot, wrong]).apply(FOUR, ctx), lambda: step(Chain([hot, wrong]), FOUR, ctx)):
        with pytest.raises(kind, match=says) as caught:
            call()
        error = caught.value
        where = error.plugin if isinstance(error, PluginError) else error.stage
        assert (where, error.step) == ("wrong", 3) and "wrong" in str(error) and "step 3" in str(error)


@pytest.mark.parametrize("score", [0.0, -2000.0])
@pytest.mark.parametrize("dense", [True, False])
def test_a_token_without_probability_cannot_be_brought_back(score: float, dense: bool) -> None:
    def revive(dist: Distribution, ctx: Context) -> Distribution:
        whole = Distribution.dense([0.0, 0.0, score, -INF])
        return whole if dense else whole.top(3)

    with pytest.raises(PluginError, match="it gave probability to token 2, which had none"):
        step(Chain([two, revive]))
    revive.revives = True  # type: ignore[attr-defined]
    _, _, entries, _ = step(Chain([two, revive]))
    assert entries[1].kl == INF and entries[1].support == 3


@pytest.mark.parametrize("part", [None, 5, "temperature", [two]])
def test_a_chain_is_made_of_callables(part: object) -> None:
    with pytest.raises(ParameterError, match="made of callables"):
        Chain([two, part])  # type: ignore[list-item]


def test_a_sampler_is_checked_like_a_processor() -> None:
    def choice(token: int, logprob: float | None = 0.0) -> Choice:
        return Choice(token, logprob)

    def sampler(answer: Any) -> Any:
        def broken(dist: Distribution, ctx: Context, randomness: Any) -> Any:
            return answer() if callable(answer) else answer

        return broken

    for answer, says in (
        (None, "returns a Choice, not NoneType"),
        (3, "returns a Choice, not int"),
        (choice(3), "it chose token 3, which has no probability"),
        (choice(3, None), "it chose token 3, which has no probability"),
        (choice(99), "token id 99 lies outside"),
        (lambda: 1 / 0, "raised ZeroDivisionError"),
    ):
        with pytest.raises(PluginError, match=says) as caught:
            step(Chain([two], sampler(answer)))
        assert (caught.value.plugin, caught.value.step) == ("broken", 0)
    _, fine, _, _ = step(Chain([two], sampler(choice(1))))
    assert fine.token_id == 1 and fine.rank == 1


def test_a_law_on_logits_refuses_logprobs() -> None:
    def offset(dist: Distribution, ctx: Context) -> Distribution:
        return dist

    offset.needs_logits = True  # type: ignore[attr-defined]
    assert Chain([offset]).apply(FOUR, Context()) is FOUR
    for dist in (HEAD, Distribution.dense(FOUR.scores, origin="logprobs")):
        with pytest.raises(PluginError, match="this adapter gives logprobs") as caught:
            Chain([two, offset]).apply(dist, Context())
        assert caught.value.plugin == "offset"


# -- disclosure ----------------------------------------------------------------------------------------------------


def test_the_first_question_is_the_union_of_what_the_processors_declare() -> None:
    def names(dist: Distribution, ctx: Context) -> Distribution:
        return dist

    names.needs = lambda ctx: Disclosure(None, tuple(ctx.output_ids))  # type: ignore[attr-defined]
    topk = decodekit.processor("top_k", top_k=7)
    ctx = Context(output_ids=(4, 2))
    assert Chain([two]).need(ctx) == CHEAP == Chain().need(ctx)
    assert Chain([two, topk]).need(ctx) == Disclosure(7)
    assert Chain([names, two, topk]).need(ctx) == Disclosure(7, (4, 2))
    whole = decodekit.processor("quadratic", quadratic=0.5)
    assert Chain([whole, topk]).need(ctx) == ALL
    assert Chain([two, topk, names, whole]).need(ctx) == Disclosure(7)  # seven tokens are all there is after top_k


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


# -- memory --------------------------------------------------------------------------------------------------------


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


# -- coins ---------------------------------------------------------------------------------------------------------


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

    with pytest.raises(ParameterError, match="only one of initial and advance"):
        Chain([Half()])
    with pytest.raises(ParameterError, match="'greedy' is a sampler; give it as Chain"):
        Chain([decodekit.sampler("greedy")])
