"""The states of a chain after a recorded token are those it had when the token was drawn."""

from __future__ import annotations

from dataclasses import replace

import pytest

import decodekit
from decodekit import Chain, Context, Randomness, Session, TraceError, processor
from decodekit.draw.context import TokenIds
from decodekit.testing import NGramAdapter
from decodekit.trace.recalled import recalled_states
from tests.trace.conftest import TEXT

ADAPTER = NGramAdapter(TEXT)
MIROSTAT = [processor("temperature", temperature=1.2), processor("mirostat_v2", mirostat_v2=3.0)]
SHIFTED = [processor("xtc", xtc=0.5, threshold=0.05), processor("mirostat_v2", mirostat_v2=2.0)]


class Watching:
    """A processor that keeps one number of every distribution it is called with."""

    looks_back = True
    name = "watching"

    def __init__(self, what):
        self.what = what

    def initial(self, ctx):
        return ()

    def __call__(self, dist, ctx, state):
        return dist

    def advance(self, state, choice, ctx, before):
        return (*state, self.what(before, choice.token_id))


def walked(chain: Chain, level: str, *, rows: bool) -> tuple[list[object], list[object]]:
    """The states after each of eight tokens: as they were, and as the record gives them."""
    trace = Session(ADAPTER, chain, seed=3).generate("the ", max_tokens=8, level=level).trace
    ctx = Context(TokenIds(trace.header.prompts[0]), TokenIds(), ADAPTER.tokenizer)
    noise, prefix = Randomness(3), decodekit.Prefix(trace.header.prompts[0])
    live = recalled = chain.initial(ctx)
    lived, told = [], []
    for step in trace.steps:
        (answer,) = ADAPTER.predict([prefix], decodekit.ALL)
        at = noise.at(step.index)
        live = chain.step(answer, ctx, live, at)[3]
        raw = step.answer(ADAPTER.info.vocab_size) if rows else None
        recalled = recalled_states(chain, step, raw, ctx, recalled, at)
        lived.append(live)
        told.append(recalled)
        ctx = replace(ctx, output_ids=ctx.output_ids.append(step.token_id))  # type: ignore[attr-defined]
        prefix = prefix.extend([step.token_id])
    return lived, told


@pytest.mark.parametrize("level", ["choice", "proof", "full"])
@pytest.mark.parametrize("parts", [MIROSTAT, SHIFTED], ids=["mirostat", "xtc and mirostat"])
def test_what_the_record_says_is_enough_for_mirostat_at_every_level(parts: list[object], level: str) -> None:
    lived, told = walked(Chain(parts), level, rows=False)
    assert lived == told and len(set(map(repr, lived))) > 1


@pytest.mark.parametrize(
    "what",
    [
        lambda dist, token: dist.logprob(token),
        lambda dist, token: dist.surprisal(token),
        lambda dist, _: dist.entropy,
        lambda dist, _: dist.support_size,
        lambda dist, _: dist.tail,
    ],
    ids=["logprob", "surprisal", "entropy", "support_size", "tail"],
)
@pytest.mark.parametrize("place", [0, 1])
def test_these_numbers_are_known_to_the_last_bit(what, place: int) -> None:
    parts = [processor("top_k", top_k=5)]
    parts.insert(place, Watching(what))
    lived, told = walked(Chain(parts), "choice", rows=False)
    assert lived == told


@pytest.mark.parametrize(
    ("what", "named"),
    [
        (lambda dist, token: dist.logprob(token + 1), "the log-probability of another token"),
        (lambda dist, _: dist.mode, "mode"),
        (lambda dist, _: float(dist.scores.sum()), "scores"),
    ],
    ids=["another token", "mode", "scores"],
)
def test_whoever_needs_more_is_named_with_what_is_missing(what, named: str) -> None:
    with pytest.raises(TraceError, match=f"'watching' .*{named}.* of step 0.*level 'full'"):
        walked(Chain([Watching(what)]), "choice", rows=False)


def test_with_rows_everything_is_known() -> None:
    lived, told = walked(Chain([Watching(lambda dist, _: (dist.mode, float(dist.scores.sum())))]), "full", rows=True)
    assert lived == told


def test_a_record_of_another_chain_is_refused() -> None:
    trace = Session(ADAPTER, Chain(MIROSTAT), seed=3).generate("the ", max_tokens=1).trace
    other = Chain(SHIFTED)
    with pytest.raises(TraceError, match="step 0 was not made by this chain"):
        recalled_states(other, trace.steps[0], None, Context(), other.initial(Context()), Randomness(3).at(0))
