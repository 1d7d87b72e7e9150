"""Rows that go through a chain together give, bit for bit, what each gives alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decodekit import Chain, Context, DecodekitError, Distribution, Randomness, processor
from decodekit.chain.batch import StepRow, draw_rows
from decodekit.distribution import Row
from decodekit.distribution.together import sum_lists
from decodekit.draw.context import TokenIds
from decodekit.trace.evidence import gather
from decodekit.trace.summary import RawSummary

V = 400


def of_kind(kind: str, seed: int) -> Distribution:
    """The same distribution for the same arguments, always a new object with nothing computed."""
    rng = np.random.default_rng(seed)
    row = rng.normal(0, 3, V)
    if kind == "masked":
        row[rng.random(V) < 0.7] = -math.inf
    if kind == "tied":
        row = np.round(row)
    if kind == "deep":
        row[rng.random(V) < 0.5] = -1e200
    if kind == "huge":
        row += 1e7
    if kind == "float32":
        row = row.astype(np.float32)
    dense = Distribution.dense(row)
    size = int(rng.integers(1, 80))
    if kind == "list":
        ids = rng.permutation(V)[:size]
        return Distribution.listed(ids, row[ids], V)
    if kind == "one":
        return Distribution.listed([seed % V], [0.5], V)
    if kind == "head":
        ids = dense.order[:64]
        return Distribution.head(ids, dense.logprobs_of(ids), V, entropy=dense.entropy)
    return dense


def odd(dist: Distribution, ctx: Context) -> Distribution:
    """A function of the user's: it raises for some rows."""
    if len(ctx.output_ids) % 3 == 2:
        raise ValueError("not for this one")
    return dist.scaled(0.5)


def to_nothing(dist: Distribution, ctx: Context) -> Distribution:
    """It empties the support of some rows."""
    return dist.keep([0, 1, 2, 3, 4, 5])


PARTS = [
    processor("top_k", top_k=40),
    processor("top_k", top_k=7, ties="all"),
    processor("top_k", top_k=1),
    processor("top_p", top_p=0.9),
    processor("top_p", top_p=0.3, min_keep=3),
    processor("min_p", min_p=0.05),
    processor("temperature", temperature=0.7),
    processor("temperature", temperature=3.0),
    processor("temperature", temperature=0.0),
    processor("typical_p", typical_p=0.6),
    processor("repetition_penalty", repetition_penalty=1.4),
    processor("mirostat_v2", mirostat_v2=3.0),
    processor("xtc", xtc=0.5, threshold=0.02),
    odd,
    to_nothing,
]
KINDS = ["plain", "float32", "masked", "tied", "deep", "huge", "list", "one", "head"]

parts = st.lists(st.sampled_from(PARTS), max_size=4)
samplers = st.sampled_from(["multinomial", "multinomial", "greedy", "inverse_cdf"])
answers = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 30), st.integers(0, 5)), max_size=7)


def row_of(chain: Chain, kind: str, seed: int, written: int, *, noted: bool = True) -> StepRow:
    ctx = Context(TokenIds([1, 2, seed]), TokenIds(range(written)))
    noise = Randomness(seed, stream=3).at(written, draw=seed % 2)
    return StepRow(of_kind(kind, seed), ctx, chain.initial(ctx), noise, chain.links, noted)


def everything(chain: Chain, row: StepRow, drawn: Any) -> Any:
    """All that is recorded of a step, with the last bit of every number; or the error."""
    reshaped, choice = drawn[:2]
    try:
        if choice is None:
            choice, reshaped = reshaped.choose(row.noise)
        settled, entries = reshaped.settle(choice, top=4)
    except DecodekitError as error:
        return type(error), str(error)
    evidence = gather(reshaped.final, choice, chain.sampler, row.noise)
    return (
        *(settled, entries, reshaped.states_after(choice), RawSummary.of(row.dist, 4)),
        *(reshaped.final.scores.tobytes(), evidence.token_ids.tolist(), evidence.scores.tobytes(), evidence.floor),
    )


def alone(chain: Chain, row: StepRow) -> Any:
    try:
        reshaped = chain.reshape(row.dist, row.ctx, row.states, row.noise)
    except DecodekitError:
        return None
    return everything(chain, row, (reshaped, None))


def compare(chain: Chain, cases: Sequence[tuple[str, int, int]], *, noted: bool) -> None:
    rows = [row_of(chain, *case, noted=noted) for case in cases]
    together = draw_rows(rows)
    assert len(together) == len(rows)
    for case, row, drawn in zip(cases, rows, together, strict=True):
        expected = alone(chain, row_of(chain, *case))
        assert repr(None if drawn is None else everything(chain, row, drawn)) == repr(expected)


@settings(max_examples=250)
@given(parts, samplers, answers, st.booleans())
def test_each_row_of_a_batch_gets_what_it_gets_alone(
    processors: list[Any], sampler: str, cases: list[tuple[str, int, int]], noted: bool
) -> None:
    compare(Chain(processors, sampler), cases, noted=noted)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("processors", [PARTS[:1], [PARTS[0], PARTS[3], PARTS[5], PARTS[6]], [PARTS[6]], []])
def test_a_batch_of_32_rows(kind: str, processors: list[Any]) -> None:
    """Enough lanes that the words are made together."""
    compare(Chain(processors), [(kind, seed, seed % 4) for seed in range(32)], noted=True)


@settings(max_examples=100)
@given(st.lists(st.lists(st.floats(-800, 800), min_size=1, max_size=40), min_size=1, max_size=8))
def test_the_sums_of_many_lists_are_those_of_each(lists: list[list[float]]) -> None:
    def made() -> list[Row]:
        return [Distribution.listed(range(len(values)), values, 64).row for values in lists]

    together = made()
    sum_lists(together)
    for one, other in zip(together, made(), strict=True):
        assert one.sums == other.sums and one.log_total == other.log_total
        assert [part.tobytes() for part in one.running] == [part.tobytes() for part in other.running]


def test_a_processor_without_a_way_for_many_rows_is_called_for_each_once() -> None:
    seen = []

    def counting(dist: Distribution, ctx: Context) -> Distribution:
        seen.append(len(ctx.output_ids))
        return dist

    chain = Chain([counting, PARTS[0]])
    assert all(draw_rows([row_of(chain, "plain", seed, seed) for seed in range(5)]))
    assert seen == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("wrong", ["generator", "nothing", "short", "exit"])
def test_an_answer_for_many_rows_that_is_none_falls_back_to_each_row(wrong: str) -> None:
    class Half:
        def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
            return dist.scaled(0.5)

        def many(self, dists: Sequence[Distribution], ctxs: Sequence[Context]) -> Any:
            if wrong == "exit":
                raise SystemExit(3)
            halves = (self(dist, ctx) for dist, ctx in zip(dists, ctxs, strict=True))
            return {"generator": halves, "short": list(halves)[:1]}.get(wrong)

    chain = Chain([Half()])
    rows = [row_of(chain, "dense", seed, 1) for seed in (1, 2)]
    for row, drawn in zip(rows, draw_rows(rows), strict=True):
        assert everything(chain, row, drawn) == alone(chain, row)
