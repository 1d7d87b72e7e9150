"""What a processor or a sampler does wrong is an error with its name."""

from __future__ import annotations

import math
from typing import Any

import pytest

from decodekit import (
    Chain,
    Choice,
    Context,
    Distribution,
    DistributionError,
    EmptySupport,
    ParameterError,
    PluginError,
)
from tests.chain.parts import FOUR, HEAD, INF, hot, step, two


async def _awaited(dist: Distribution, _: Context) -> Distribution:
    return dist


@pytest.mark.parametrize(
    ("wrong", "kind", "says"),
    [
        (lambda *_: None, PluginError, "returns a Distribution, not None; end it with"),
        (_awaited, PluginError, "not a coroutine; define it without async"),
        (lambda dist, _: dist.scores, PluginError, "not an array; dist.with_scores"),
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
    with pytest.raises(ParameterError, match="is no part of a chain"):
        Chain([two, part])  # type: ignore[list-item]


def test_a_sampler_is_checked_like_a_processor() -> None:
    def choice(token: int, logprob: float | None = 0.0) -> Choice:
        return Choice(token, logprob)

    def sampler(answer: Any) -> Any:
        def broken(dist: Distribution, ctx: Context, randomness: Any) -> Any:
            return answer() if callable(answer) else answer

        return broken

    for answer, says in (
        (None, "returns a Choice, not None"),
        (3, "returns a Choice, not 3"),
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
