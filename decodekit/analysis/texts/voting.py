"""Several texts of one prompt: the one most agree on, the one closest to the others, and how much they differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

from decodekit.draw.whole import whole
from decodekit.errors import ParameterError, brief

__all__ = ["Vote", "agreement", "distinct_n", "equal", "majority_vote", "minimum_bayes_risk", "token_f1"]


@dataclass(frozen=True, slots=True)
class Vote:
    """What most samples agree on.

    Args:
        answer: the most frequent one; of equally frequent ones the first that appeared.
        index: of the first sample with this answer.
        votes: how many samples have it.
        of: how many samples voted.
        tied: whether another answer has as many.
    """

    answer: Hashable
    index: int
    votes: int
    of: int
    tied: bool


def majority_vote(answers: Sequence[Hashable | None]) -> Vote:
    """The most frequent answer; None is a sample without an answer, which does not vote.

    Raises:
        ParameterError: no sample has an answer.
    """
    counts = Counter(answer for answer in answers if answer is not None)
    if not counts:
        raise ParameterError("answers: a vote needs at least one")
    (answer, votes), *others = counts.most_common(2)
    tied = bool(others) and others[0][1] == votes
    return Vote(answer, list(answers).index(answer), votes, counts.total(), tied)


def agreement(answers: Sequence[Hashable | None]) -> float:
    """Self-consistency: the probability that two different samples have one answer; unbiased, and 1 for one sample.

    None is a sample without an answer, which agrees with no other.

    Raises:
        ParameterError: no answers.
    """
    n = len(answers)
    if not n:
        raise ParameterError("answers: agreement needs at least one")
    counts = Counter(answer for answer in answers if answer is not None)
    return sum(count * (count - 1) for count in counts.values()) / (n * (n - 1)) if n > 1 else 1.0


def minimum_bayes_risk(texts: Sequence[str], similarity: Callable[[str, str], float] | None = None) -> int:
    """The index of the text that is, on average, most similar to the others; of equal ones the first.

    The average over samples estimates the expectation under the law they were drawn from (Kumar and Byrne 2004). With
    `equal` it is the majority vote of the texts.

    Args:
        texts: the samples.
        similarity: of a candidate and another text; `token_f1` by default. It is asked once for each pair of different
            texts, in both orders.

    Raises:
        ParameterError: no texts.
    """
    given: Iterable[object] = texts
    wrong = next((text for text in given if not isinstance(text, str)), None)
    if wrong is not None:
        raise ParameterError(f"texts: it chooses among texts, not {brief(wrong)}")
    counts = Counter(texts)
    if not counts:
        raise ParameterError("texts: at least one is needed to choose from")
    measure = token_f1 if similarity is None else similarity
    gains = {
        text: sum(times * measure(text, other) for other, times in counts.items()) - measure(text, text)
        for text in counts
    }
    return list(texts).index(max(gains, key=gains.__getitem__))


def token_f1(one: str, other: str) -> float:
    """The harmonic mean of precision and recall of the words of two texts, split at white space; 1 for two empty ones.

    That of SQuAD, without its cleaning of articles, case and punctuation (Rajpurkar et al. 2016).
    """
    first, second = one.split(), other.split()
    if not first or not second:
        return float(first == second)
    shared = (Counter(first) & Counter(second)).total()
    return 2 * shared / (len(first) + len(second))


def equal(one: str, other: str) -> float:
    """1 for equal texts, else 0."""
    return float(one == other)


def distinct_n(sequences: Sequence[Sequence[Hashable]], n: int) -> float:
    """Different n-grams as a share of all n-grams of all sequences (Li et al. 2016, arXiv 1510.03055).

    It falls with the length and the number of the sequences: compare equal amounts of text only. 0 without an n-gram.

    Args:
        sequences: token ids, or words.
        n: the length of a gram, at least 1.
    """
    n = whole(n, "n", 1, 1_000)
    grams = Counter(tuple(each[at : at + n]) for each in sequences for at in range(len(each) - n + 1))
    return len(grams) / grams.total() if grams else 0.0
