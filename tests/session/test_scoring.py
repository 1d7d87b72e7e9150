"""Scores are exact: against enumeration, and a hidden token is a typed error with a bound, never a wrong number."""

from __future__ import annotations

import asyncio
import math
from itertools import product
from typing import Any

import numpy as np
import pytest

import decodekit
from decodekit import (
    ALL,
    AsyncSession,
    Chain,
    ContextOverflow,
    Disclosure,
    Distribution,
    EmptySupport,
    ParameterError,
    Prefix,
    Session,
    Undisclosed,
    processor,
)
from decodekit.testing import BytesTokenizer, NGramAdapter, TableAdapter
from tests.session.conftest import Around, V, plain, table, wide

SMALL = 4
COLD = [processor("temperature", temperature=0.5), processor("top_k", top_k=3)]


def small(ids: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng([7, *ids]).normal(0, 1, SMALL)


def logprobs(row: np.ndarray) -> np.ndarray:
    return row - np.log(np.exp(row - row.max()).sum()) - row.max()


def test_scores_are_those_of_exact_enumeration_and_sum_to_one() -> None:
    session = Session(TableAdapter(small, SMALL), seed=1)
    totals = []
    for ids in product(range(SMALL), repeat=3):
        score = session.score([1, 2], ids)
        expected = [logprobs(small((1, 2, *ids[:i])))[token] for i, token in enumerate(ids)]
        assert score.token_ids == ids and score.tokenised == "given" and score.under_chain is None
        np.testing.assert_allclose(score.logprobs, expected, rtol=0, atol=1e-12)
        assert score.total == pytest.approx(sum(expected), abs=1e-12)
        assert score.per_token == pytest.approx(sum(expected) / 3, abs=1e-12)
        assert score.perplexity == pytest.approx(math.exp(-sum(expected) / 3), rel=1e-12)
        totals.append(score.total)
    assert math.fsum(map(math.exp, totals)) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("sampler", ["multinomial", "inverse_cdf", "greedy"])
def test_under_a_chain_they_are_the_probabilities_that_a_session_draws_with(sampler: str) -> None:
    """With states: a penalty, and a part that looks back at its own distribution."""
    chain = Chain([processor("repetition_penalty", repetition_penalty=1.5), *COLD], sampler)
    session = Session(table(), seed=5)
    for stream in range(5):
        result = session.generate([3, 4], max_tokens=7, chain=chain, stream=stream)
        score = session.score([3, 4], result.token_ids, chain=chain)
        assert score.under_chain is not None
        drawn = [0.0 if sampler == "greedy" else step.choice.logprob for step in result.trace.steps]
        np.testing.assert_allclose(score.under_chain.logprobs, drawn, rtol=0, atol=1e-12)
        np.testing.assert_allclose(score.logprobs, [s.choice.raw_logprob for s in result.trace.steps], atol=1e-12)


def test_what_a_chain_excludes_has_no_probability() -> None:
    session = Session(table(), seed=5)
    order = np.argsort(-wide([1]))
    score = session.score([1], [int(order[-1])], chain=COLD).under_chain
    assert score is not None and score.total == -math.inf == score.per_token and score.perplexity == math.inf
    with pytest.raises(EmptySupport, match="no candidate"):
        session.rank([1], [[int(order[-1])], [int(order[-2])]], chain=COLD)


def test_a_long_continuation_is_one_question_and_candidates_too() -> None:
    adapter = Around(table(), plain)
    session = Session(adapter, seed=1)
    ids = [(5 * i) % V for i in range(200)]
    score = session.score([1], ids)
    assert len(score.logprobs) == 200 and [len(prefixes) for prefixes, _ in adapter.asked] == [200]
    adapter.asked.clear()
    rows = session.rank([1], [[i, 2, 3] for i in range(30)])
    (asked,) = [prefixes for prefixes, _ in adapter.asked]
    assert len(asked) == 1 + 2 * 30 == len(set(asked))  # the prompt is asked for once
    assert all(Prefix([1, 5]) != each for each in asked[:1]) and len(rows) == 30
    adapter.asked.clear()
    session.score([1], ids * 2)
    assert max(len(prefixes) for prefixes, _ in adapter.asked) == 256  # rows take memory
    big = Around(TableAdapter({(): np.zeros(200_000, np.float32)}, 200_000), plain)
    Session(big).score([1], [2] * 100)
    assert max(len(prefixes) for prefixes, _ in big.asked) <= 2**25 // 800_000


def test_a_long_prompt_comes_in_portions() -> None:
    adapter = Around(table(), plain)
    Session(adapter, seed=1).score([i % V for i in range(500)], [1, 2])
    assert [len(prefixes) for prefixes, _ in adapter.asked] == [1, 1, 2]


def test_rank_sorts_and_says_how_it_counts_length() -> None:
    session = Session(NGramAdapter("the cat sat on the mat. the dog sat on the log. " * 4), seed=1)
    given = ["cat sat", "dog", "zebra", "cat"]
    for by in ("total", "per_token", "per_byte"):
        rows = session.rank("the ", given, by=by)  # type: ignore[arg-type]
        assert sorted(row.index for row in rows) == [0, 1, 2, 3] and rows[-1].index == 2
        values = [row.value for row in rows]
        assert values == sorted(values, reverse=True)
        assert values == [getattr(row.score, by) for row in rows]
        shares = np.exp(np.array(values) - max(values))
        np.testing.assert_allclose([row.probability for row in rows], shares / shares.sum(), rtol=1e-12)
        assert all(row.score == session.score("the ", given[row.index]) for row in rows)
    assert session.rank("the ", given)[0].index in (1, 3)
    assert session.rank("the ", given, by="per_token")[0].index == 0
    chained = session.rank("the ", ["cat", "dog"], chain=[processor("temperature", temperature=3.0)])
    assert all(row.value == row.score.under_chain.total for row in chained)  # type: ignore[union-attr]


# -- what is hidden ----------------------------------------------------------------------------------------------------


def test_a_server_that_takes_ids_is_asked_for_them() -> None:
    adapter = Around(table(most=Disclosure(3, ids=(0,))), plain)
    ids = [int(np.argsort(-wide([1]))[-1]), 4, 5]
    score = Session(adapter, seed=1).score([1], ids)
    np.testing.assert_allclose(score.logprobs, Session(table()).score([1], ids).logprobs, rtol=0, atol=1e-12)
    ((_, needs),) = adapter.asked
    assert [need.ids for need in needs] == [(each,) for each in ids]


def test_a_token_that_cannot_be_disclosed_is_an_error_with_a_bound() -> None:
    order = np.argsort(-wide([1]))
    session = Session(table(most=Disclosure(3)), seed=1)
    inside = session.score([1], [int(order[0])])
    assert inside.logprobs[0] == pytest.approx(float(logprobs(wide([1]).astype(np.float64))[order[0]]), abs=1e-6)
    edge = Distribution.dense(wide([1])).logprob(int(order[2]))
    with pytest.raises(Undisclosed, match=rf"token {order[9]}, number 0 .* at most {edge:.4f} nats"):
        session.score([1], [int(order[9])])
    with pytest.raises(Undisclosed, match="number 0"):
        session.rank([1], [[int(order[0])], [int(order[9])]])


def test_under_a_chain_a_head_is_asked_for_more_or_refused() -> None:
    """A temperature needs the whole normaliser, a top_k does not."""
    order = np.argsort(-wide([1]))
    limited = Session(table(most=Disclosure(10)), seed=1, on_undisclosed="truncate")
    expected = Session(table(), seed=1).score([1], [int(order[1])], chain=[processor("top_k", top_k=4)])
    found = limited.score([1], [int(order[1])], chain=[processor("top_k", top_k=4)])
    assert found.under_chain is not None and expected.under_chain is not None
    assert found.under_chain.total == pytest.approx(expected.under_chain.total, abs=1e-6)
    with pytest.raises(Undisclosed, match="normaliser"):
        limited.score([1], [int(order[1])], chain=[processor("temperature", temperature=0.5)])


def test_a_wider_list_is_asked_for_where_the_chain_needs_it() -> None:
    def act(inner: Any, prefixes: list[Prefix], wanted: list[Disclosure]) -> list[Any]:
        found = []
        for prefix, want in zip(prefixes, wanted, strict=True):
            dist = Distribution.dense(wide(prefix.token_ids))
            ids, shown = dist.leading(V if want == ALL else max(want.top or 2, 2))
            found.append(dist if want == ALL else Distribution.head(ids, shown, V))
        return found

    adapter = Around(table(), act)
    chain = [processor("top_p", top_p=0.9)]
    best = int(np.argmax(wide([1])))
    found = Session(adapter).score([1], [best], chain=chain).under_chain
    expected = Session(table()).score([1], [best], chain=chain).under_chain
    assert found is not None and expected is not None
    assert found.total == pytest.approx(expected.total, abs=1e-6) and len(adapter.asked) > 1


# -- what cannot be scored ---------------------------------------------------------------------------------------------


def impure(dist: Any, ctx: Any) -> Any:
    return dist


impure.pure = False  # type: ignore[attr-defined]


def own(dist: Any, ctx: Any, randomness: Any) -> Any:
    raise AssertionError("nothing is drawn")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.score([1], []), "continuation is empty"),
        (lambda s: s.score([1], "x"), "no tokenizer"),
        (lambda s: s.score([1], [V]), f"continuation: token id {V} lies outside"),
        (lambda s: s.score([1], b"x"), "text or a list of token ids"),
        (lambda s: s.score([1], 5), "text or a list of token ids"),
        (lambda s: s.score([1], [1.5]), "text or a list of token ids"),
        (lambda s: s.score([], [1]), "prompt 0 is empty"),
        (lambda s: s.score([1], [2], chain=[impure]), "must run only once"),
        (lambda s: s.score([1], [2], chain=Chain([], own)), "'own' may draw from another"),
        (
            lambda s: s.score([1], [2], chain=[processor("xtc", xtc=1.0, threshold=0.01)]),
            "'xtc' draws random",
        ),
        (lambda s: s.score([1], [2], priority=1.5), "priority"),
        (lambda s: s.score([1], [2], metadata=3), "metadata is a dict"),
        (lambda s: s.score([1], [2], max_waiting=-1), "max_waiting"),
        (lambda s: s.rank([1], []), "candidates is a list"),
        (lambda s: s.rank([1], "text"), "candidates is a list"),
        (lambda s: s.rank([1], [[2], [3], [2]]), "candidate 2 has the tokens of candidate 0"),
        (lambda s: s.rank([1], [[2], []]), "candidate 1 is empty"),
        (lambda s: s.rank([1], [[2], [3]], by="length"), "'total', 'per_token', 'per_byte'"),
        (lambda s: s.rank([1], [[2], [3]], by="per_byte"), "no tokenizer"),
    ],
)
def test_what_cannot_be_scored_is_refused_by_name(call: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        call(Session(table()))


def test_an_unknown_option_and_an_answer_that_is_an_error_are_raised() -> None:
    with pytest.raises(TypeError, match="no generation option 'chian'; did you mean 'chain'"):
        Session(table()).score([1], [2], chian=None)  # type: ignore[call-arg]
    with pytest.raises(ContextOverflow):
        Session(table(context_length=3)).score([1], [2, 3, 4, 5])


def test_tasks_score_as_blocking_code_does_over_any_adapter() -> None:
    from tests.model.test_asking import Waited

    async def main(adapter: Any) -> tuple[Any, Any]:
        session = AsyncSession(adapter, seed=1)
        return await session.score([1], [2, 1], chain=COLD), await session.rank([1], [[0], [2]])

    for adapter in (table(), Waited(wait=0)):
        session = Session(adapter, seed=1)
        expected = session.score([1], [2, 1], chain=COLD), session.rank([1], [[0], [2]])
        session.close()
        assert asyncio.run(main(adapter)) == expected


def test_metadata_is_the_sessions_or_the_calls() -> None:
    def heated(dist: Any, ctx: Any) -> Any:
        return dist.scaled(ctx.metadata["heat"])

    session = Session(table(), metadata={"heat": 2.0})
    own = session.score([1], [2], chain=[heated]).under_chain
    called = session.score([1], [2], chain=[heated], metadata={"heat": 0.5}).under_chain
    assert own is not None and called is not None and own.total != called.total


def test_bytes_are_counted() -> None:
    adapter = TableAdapter({(): np.zeros(257)}, 257, tokenizer=BytesTokenizer())
    score = Session(adapter).score("a", "é!")
    assert score.size == 3 and score.per_byte == pytest.approx(-math.log(257)) == score.per_token
    assert decodekit.Score((1,), (0.0,), "given", 4).per_byte == 0
