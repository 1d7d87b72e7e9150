"""Guessers say what may come: by the text so far, by a given text, by a smaller model."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import decodekit
from decodekit import Chain, ConfigError, Context, ParameterError, Prefix, Session
from decodekit.draw.context import TokenIds
from decodekit.testing import BytesTokenizer, NGramAdapter, PiecesTokenizer, TableAdapter

TEXT = "the cat sat on the mat, and the dog sat on the log. " * 4


def said(guesser, prompt, output=(), tokenizer=None, most=100):
    """What it guesses after these ids."""
    context = Context(TokenIds(prompt), TokenIds(output), tokenizer)
    return list(islice(guesser.guess(Prefix([*prompt, *output]), context), most))


def by_hand(ids, longest, shortest, most):
    """The definition."""
    for length in range(min(longest, len(ids) - 1), shortest - 1, -1):
        for start in range(len(ids) - length):
            if ids[start : start + length] == ids[-length:]:
                return ids[start + length : start + length + most]
    return []


@settings(max_examples=150, deadline=None)
@given(
    ids=st.lists(st.integers(0, 2), min_size=1, max_size=24),
    cut=st.integers(0, 24),
    longest=st.integers(1, 5),
    shortest=st.integers(1, 5),
    most=st.integers(1, 6),
)
def test_prompt_lookup_finds_what_its_definition_says(ids, cut, longest, shortest, most) -> None:
    if shortest > longest:
        with pytest.raises(ParameterError, match="min_ngram"):
            decodekit.guesser("prompt_lookup", max_ngram=longest, min_ngram=shortest)
        return
    guesser = decodekit.guesser("prompt_lookup", prompt_lookup=most, max_ngram=longest, min_ngram=shortest)
    assert said(guesser, ids[:cut], ids[cut:]) == by_hand(ids, longest, shortest, most)


def test_prompt_lookup_agrees_with_transformers() -> None:
    torch = pytest.importorskip("torch")
    generator = pytest.importorskip("transformers.generation.candidate_generator").PromptLookupCandidateGenerator
    rng = np.random.default_rng(0)
    for _ in range(100):
        ids = rng.integers(0, 4, rng.integers(2, 40)).tolist()
        longest, most = int(rng.integers(1, 5)), int(rng.integers(1, 8))
        theirs = generator(num_output_tokens=most, max_matching_ngram_size=longest, max_length=1000)
        candidates, _ = theirs.get_candidates(torch.tensor([ids]))
        guesser = decodekit.guesser("prompt_lookup", prompt_lookup=most, max_ngram=longest, min_ngram=1)
        assert said(guesser, ids) == candidates[0, len(ids) :].tolist()


def test_a_fixed_text_is_guessed_from_its_beginning_and_found_again_after_a_change() -> None:
    tokenizer = BytesTokenizer()
    guesser = decodekit.guesser("fixed", fixed="one two three four")

    def after(output):
        return bytes(said(guesser, [1], tokenizer.encode(output), tokenizer)).decode()

    assert after("") == "one two three four"
    assert after("one tw") == "o three four"
    assert after("one 2 thr") == "ee four"
    assert after("something el") == "" and after("one two three four") == ""


def test_fixed_ids_need_no_tokenizer_and_a_text_does() -> None:
    for ids in ([5, 6, 7], (5, 6, 7)):
        assert said(decodekit.guesser("fixed", fixed=ids), [1], [5]) == [6, 7]
    with pytest.raises(ParameterError, match="no tokenizer; give token ids"):
        Session(TableAdapter({(): [0.0] * 9}, 9), guesser={"name": "fixed", "fixed": "text"}).generate([1])


@pytest.mark.parametrize("fixed", ["", [], [-1], [1.5], "half \ud800", 7])
def test_what_is_no_text_is_refused(fixed) -> None:
    with pytest.raises(ParameterError, match="fixed"):
        decodekit.guesser("fixed", fixed=fixed)


def test_a_draft_guesses_its_own_greedy_continuation_no_further_than_asked() -> None:
    draft = NGramAdapter(TEXT, order=3)
    asked: list[int] = []
    predict = draft.predict
    draft.predict = lambda prefixes, *rest: asked.append(len(prefixes)) or predict(prefixes, *rest)
    guesser = decodekit.guesser("draft", draft=draft)
    prompt = tuple(b"the cat")
    guessed = said(guesser, prompt, tokenizer=draft.tokenizer, most=9)
    assert asked == [1] * 9
    greedy = Session(NGramAdapter(TEXT, order=3), Chain(sampler="greedy"))
    assert tuple(guessed) == greedy.generate(Prefix(prompt), max_tokens=9).token_ids
    session = Session(NGramAdapter(TEXT, order=6), Chain(sampler="greedy"), guesser=guesser)
    assert (
        session.generate("the cat", max_tokens=40).token_ids
        == session.generate("the cat", max_tokens=40, guesser="none").token_ids
    )


def test_a_draft_with_other_tokens_is_refused_before_anything_is_generated() -> None:
    def pieces(*words):
        return TableAdapter(
            {(): [0.0] * len(words)}, len(words), tokenizer=PiecesTokenizer([word.encode() for word in words])
        )

    model = pieces("a", "b", "c")
    assert Session(model).generate([0], max_tokens=5, guesser=decodekit.guesser("draft", draft=pieces("a", "b", "c")))
    for draft, message in (
        (pieces("a", "x", "c"), "token 1 is b'x' there, and b'b' in the model"),
        (pieces("a", "b"), "has 2 tokens, and the model 3"),
        (TableAdapter({(): [0.0] * 3}, 3), "cannot be compared"),
    ):
        with pytest.raises(ConfigError, match=message):
            Session(model).generate([0], max_tokens=5, guesser=decodekit.guesser("draft", draft=draft))


def test_a_draft_is_an_adapter_in_this_process() -> None:
    with pytest.raises(ParameterError, match="draft is an adapter in this process"):
        decodekit.guesser("draft", draft=7)


def test_a_draft_that_answers_with_an_error_guesses_nothing_more() -> None:
    short = TableAdapter({(): [0.0, 1.0, 2.0]}, 3, context_length=4)
    assert said(decodekit.guesser("draft", draft=short), [0, 1]) == [2, 2, 2]
