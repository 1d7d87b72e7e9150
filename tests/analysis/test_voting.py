"""Votes, agreement and diversity on cases that can be counted by hand."""

from __future__ import annotations

from itertools import combinations

import pytest

from decodekit import ParameterError
from decodekit.analysis.texts.voting import agreement, distinct_n, equal, majority_vote, minimum_bayes_risk, token_f1


def test_a_vote_counts_answers_and_says_when_it_is_tied() -> None:
    vote = majority_vote([None, "b", "a", "a", None, "a", "b"])
    assert (vote.answer, vote.index, vote.votes, vote.of, vote.tied) == ("a", 2, 3, 5, False)
    tied = majority_vote(["b", "a", "a", "b"])
    assert (tied.answer, tied.index, tied.tied) == ("b", 0, True)
    with pytest.raises(ParameterError):
        majority_vote([None, None])


def test_agreement_is_the_share_of_the_pairs_that_are_equal() -> None:
    answers = ["a", "b", "a", "c", "a", "b"]
    pairs = list(combinations(answers, 2))
    assert agreement(answers) == pytest.approx(sum(x == y for x, y in pairs) / len(pairs))
    assert (agreement(["a"]), agreement(["a", "a"]), agreement(["a", "b"])) == (1.0, 1.0, 0.0)
    with pytest.raises(ParameterError):
        agreement([])


def test_minimum_bayes_risk_takes_the_middle_and_the_vote_takes_the_most_frequent() -> None:
    texts = ["the red cat", "a dog", "a dog", "the red cat sat", "the red cat sat down"]
    assert minimum_bayes_risk(texts) == 3
    assert minimum_bayes_risk(texts, equal) == majority_vote(texts).index == 1
    assert minimum_bayes_risk(["only"]) == 0
    with pytest.raises(ParameterError):
        minimum_bayes_risk([])


def test_token_f1() -> None:
    assert token_f1("a b c", "b c d e") == pytest.approx(2 * (2 / 3) * (2 / 4) / (2 / 3 + 2 / 4))
    assert (token_f1("a a", "a"), token_f1("", ""), token_f1("", "a")) == (pytest.approx(2 / 3), 1.0, 0.0)


def test_distinct_n_counts_grams_within_sequences() -> None:
    assert distinct_n([[1, 2, 1, 2], [2, 1]], 1) == pytest.approx(2 / 6)
    assert distinct_n([[1, 2, 1, 2], [2, 1]], 2) == pytest.approx(2 / 4)  # 12 21 12, 21; nothing across the two
    assert distinct_n([[1]], 2) == 0.0
