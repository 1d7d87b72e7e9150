"""Scores of given texts are those of each distribution; where a part is undisclosed, they lie within the bounds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from decodekit import ContextOverflow, Disclosure, ParameterError, Session, Undisclosed
from decodekit.analysis import score, score_many, score_pairs
from decodekit.testing import NGramAdapter, TableAdapter

from .tables import SIZE, logprob, model, scores
from .test_forced import TEXT, Counting

IDS = [1, 3, 0, 2, 2, 1]


def test_each_value_is_that_of_the_distribution_before_the_token() -> None:
    found = score(model(), IDS, given=[0])
    for at, token in enumerate(IDS):
        row = scores((0, *IDS[:at]))
        share = np.exp(row) / np.exp(row).sum()
        assert found.ranks[at] == (row > row[token]).sum()
        assert found.logprobs[at] == pytest.approx(math.log(share[token]), abs=1e-12)
        assert found.entropies[at] == pytest.approx(-(share * np.log(share)).sum(), abs=1e-12)
    assert np.allclose(found.gaps, -found.logprobs - found.entropies, atol=1e-12)
    assert found.total == pytest.approx(logprob(IDS, 1.0), abs=1e-12) == found.bounds("total").low
    assert found.perplexity == pytest.approx(math.exp(-found.total / 6))
    assert (found.given, found.tokenised, found.size) == (1, "given", None)
    with pytest.raises(ParameterError, match="no tokenizer to know them"):
        _ = found.bits_per_byte


def test_a_text_is_tokenised_as_by_a_session_and_is_one_question() -> None:
    counting = Counting()
    found = score(counting, "mat, and", given="the cat sat on the ")
    alone = Session(counting.inner).score("the cat sat on the ", "mat, and")
    assert found.token_ids == alone.token_ids and np.array_equal(found.logprobs, alone.logprobs)
    assert found.tokenised == "together" and found.size == 8
    assert found.bits_per_byte == pytest.approx(-alone.per_byte / math.log(2))
    assert counting.asked == [len(alone.token_ids)]


def test_many_texts_share_questions_and_are_scored_as_each_alone() -> None:
    counting = Counting()
    pairs = [("the ", "cat"), (None, "dog sat"), ([1, 2], [3, 4]), ("a", "nd" * 200)]
    together = list(score_pairs(counting, pairs))
    assert len(counting.asked) == 2
    for found, (given, text) in zip(together, pairs, strict=True):
        alone = score(counting.inner, text, given)
        assert found.token_ids == alone.token_ids and np.array_equal(found.logprobs, alone.logprobs)
    assert [each.token_ids for each in score_many(counting, ["cat"], "the ")] == [together[0].token_ids]


@pytest.mark.parametrize("ids", [(), (0,)])
def test_where_a_part_is_disclosed_the_bounds_hold(ids: tuple[int, ...]) -> None:
    exact, found = score(model(), IDS, given=[0]), score(model(Disclosure(top=2, ids=ids)), IDS, given=[0])
    for whole, part in ((exact.logprob, found.logprob), (exact.rank, found.rank), (exact.entropy, found.entropy),
                        (exact.gap, found.gap)):  # fmt: skip
        assert (part.low <= whole.values + 1e-9).all() and (whole.values <= part.high + 1e-9).all()
    assert found.bounds("total").low <= exact.total <= found.bounds("total").high + 1e-9
    assert found.bounds("perplexity").low <= exact.perplexity + 1e-9
    with pytest.raises(Undisclosed, match="the entropy number 0 is not known, only that it lies from"):
        _ = found.entropies
    if ids:  # a server that shows tokens by id
        assert np.allclose(found.logprobs, exact.logprobs, atol=1e-12)
    else:
        with pytest.raises(Undisclosed, match="the log-probability number"):
            _ = found.total


def test_a_text_without_anything_before_it_begins_at_the_begin_of_text_or_its_first_token_is_given() -> None:
    ngram = NGramAdapter(TEXT)
    found = score(ngram, "the cat")
    assert ngram.tokenizer is not None and ngram.tokenizer.bos_id is None
    assert (found.given, found.size, len(found.token_ids)) == (1, 6, 6)
    assert np.array_equal(found.logprobs, score(ngram, "he cat", given="t").logprobs)

    ngram.tokenizer.bos_id = 7  # type: ignore[misc]
    found = score(ngram, "the cat")
    assert np.array_equal(found.logprobs, score(ngram, list(b"the cat"), given=[7]).logprobs)
    assert np.array_equal(found.logprobs, score(ngram, [7, *b"the cat"]).logprobs)


@pytest.mark.parametrize(
    ("text", "given", "message"),
    [
        ("", "a", "continuation is empty"),
        ("a", None, "its only token has nothing before it"),
        ("\ud800", "a", "not valid Unicode"),
        ([999], "a", "outside the vocabulary of 257"),
        (b"bytes", "a", "text or a list of token ids"),
        ("a", "", "prompt 0 is empty"),
    ],
)
def test_what_cannot_be_scored_is_refused(text: object, given: object, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        score(NGramAdapter(TEXT), text, given)  # type: ignore[arg-type]


def test_one_text_in_place_of_many_and_a_long_one_are_refused() -> None:
    with pytest.raises(ParameterError, match="one text is for score"):
        list(score_many(NGramAdapter(TEXT), "cat"))
    with pytest.raises(ParameterError, match="text 1: continuation is empty"):
        list(score_many(NGramAdapter(TEXT), ["cat", ""], "the "))
    with pytest.raises(ContextOverflow, match="text 0: 7 tokens do not fit"):
        score(TableAdapter(scores, SIZE, context_length=4), IDS, given=[0])
    with pytest.raises(ParameterError, match="no tokenizer"):
        score(model(), "a", given=[0])


@pytest.mark.real_model
def test_on_a_real_model_it_is_the_score_of_a_session() -> None:
    pytest.importorskip("llama_cpp")
    import decodekit

    with decodekit.open("smollm2", n_ctx=512, n_threads=1) as session:
        found = score(session.adapter, " Paris, the city of light.", given="The capital of France is")  # type: ignore[arg-type]
        alone = session.score("The capital of France is", " Paris, the city of light.")
    assert found.token_ids == alone.token_ids and np.allclose(found.logprobs, alone.logprobs, atol=1e-9)
    assert found.ranks[0] == 0 and (found.entropies > 0).all()
