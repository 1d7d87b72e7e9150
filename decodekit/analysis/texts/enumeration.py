"""All texts of a model up to a length, the most likely first, with the probability of those that were left out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from decodekit.analysis.texts.law import Beginning, Next, TextLaw
from decodekit.distribution.disclosure import Interval
from decodekit.draw.whole import whole
from decodekit.types import Floats, Ids

__all__ = ["MOST_WIDTH", "Enumeration", "enumerate_texts"]

MOST_WIDTH = 1_000_000


@dataclass(slots=True)
class _Candidates:
    """Tokens that may follow, in the order of their rows and, in a row, of their probability."""

    rows: Ids
    tokens: Ids
    logprobs: Floats

    @staticmethod
    def none() -> _Candidates:
        return _Candidates(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0))

    def plus(self, row: int, tokens: Ids, logprobs: Floats) -> _Candidates:
        rows = np.full(len(tokens), row, dtype=np.int64)
        return _Candidates(
            np.concatenate([self.rows, rows]),
            np.concatenate([self.tokens, tokens]),
            np.concatenate([self.logprobs, logprobs]),
        )

    def best(self, width: int) -> tuple[_Candidates, float]:
        """The most likely ones, and the probability of the others."""
        if len(self.rows) <= width:
            return self, 0.0
        order = np.argsort(-self.logprobs, kind="stable")
        kept, lost = np.sort(order[:width]), order[width:]
        return _Candidates(self.rows[kept], self.tokens[kept], self.logprobs[kept]), _sum(self.logprobs[lost])


class Enumeration:
    """The beginnings of all texts, one token longer at each call of `advance`.

    Args:
        texts: the law.
        width: how many beginnings are kept at each length, the most likely ones.

    Attributes:
        open: the beginnings that go on.
        ended: the texts that have ended.
        missing: the probability of all texts that begin with neither. It is a sum of what was left out: of what the
            width cut, and of undisclosed tokens; so it is certain, up to rounding, and 0.0 where nothing was left out.
        entropy: bounds, in nats, on the part of the entropy of the text that these tokens have: the sum over the
            beginnings of their probability times the entropy of the next token, and as much as what is missing may add.
        evaluated: how many distributions the model was asked for.
    """

    def __init__(self, texts: TextLaw, width: int) -> None:
        self.texts, self.width = texts, whole(width, "width", 1, MOST_WIDTH)
        self.open: list[Beginning] = [texts.start]
        self.ended: list[Beginning] = []
        self.missing = 0.0
        self.entropy = Interval(0.0, 0.0)
        self.evaluated = 0

    def advance(self, seen: Callable[[Next], None] | None = None) -> None:
        """Go one token further.

        Args:
            seen: called with the distribution after each open beginning.

        Raises:
            Undisclosed: not even the probabilities of the tokens that are shown are known, or the chain needs more.
            DecodekitError: as `TextLaw.after`.
        """
        candidates, nexts = _Candidates.none(), dict[int, Next]()
        low, high, lost = 0.0, self.missing * self.texts.largest_entropy if self.missing else 0.0, 0.0
        for row, after in enumerate(self.texts.after(self.open)):
            self.evaluated += 1
            if seen is not None:
                seen(after)
            probability = math.exp(after.before.logprob)
            bounds = after.law.bounds("entropy")
            low, high = low + probability * bounds.low, high + probability * bounds.high
            tokens, steps = _shown(after, self.width)
            lost += probability * _beside(after, steps)
            candidates, cut = candidates.plus(row, tokens, after.before.logprob + steps).best(self.width)
            lost += cut
            nexts[row] = after
            if row % 64 == 63:  # rows of which nothing is left need no memory
                nexts = {each: nexts[each] for each in np.unique(candidates.rows).tolist()}
        grown = [
            self.texts.extended(nexts[row], token)
            for row, token in zip(candidates.rows.tolist(), candidates.tokens.tolist(), strict=True)
        ]
        self.open = [each for each in grown if not each.ended]
        self.ended += [each for each in grown if each.ended]
        self.missing += lost
        self.entropy = Interval(self.entropy.low + low, self.entropy.high + high)


def enumerate_texts(texts: TextLaw, max_tokens: int, *, width: int = 1024) -> Enumeration:
    """All texts of at most so many tokens, those that are cut there included.

    Exact where ``missing`` is 0; otherwise every probability that is computed from the texts that were found lies below
    the true one by at most ``missing``.

    Args:
        texts: the law of the texts.
        max_tokens: from 1 on.
        width: how many beginnings are kept at each length, the most likely ones.

    Raises:
        ParameterError: a number out of range.
        Undisclosed, DecodekitError: as `Enumeration.advance`.
    """
    found = Enumeration(texts, width)
    for _ in range(whole(max_tokens, "max_tokens", 1, MOST_WIDTH)):
        if not found.open and not found.missing:
            break
        found.advance()
    return found


def _shown(after: Next, most: int) -> tuple[Ids, Floats]:
    """The most likely tokens that have probability, with their log-probabilities."""
    after.law.logprob(after.law.mode)  # raises where the normaliser is not known
    tokens, logprobs = after.law.leading(most)
    alive = logprobs > -math.inf
    return tokens[alive], logprobs[alive]


def _beside(after: Next, shown: Floats) -> float:
    """The probability of all other tokens; 0.0 where there are none."""
    if after.law.hidden is None and after.law.row.support_size == len(shown):
        return 0.0
    return max(0.0, 1.0 - _sum(shown))


def _sum(logprobs: Floats) -> float:
    return math.fsum(np.exp(logprobs).tolist())
