"""Tokens and their scores as a distribution keeps them, and the sums, orders and look-ups over them.

A row is dense (a score for every token, in id order, float32 or float64, times a scale) or a list (ids by falling
score, float64). Sums accumulate in float64, and computed values are cached. A row holds no undisclosed tokens: a token
that is not in a list has no probability here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Self, TypeVar
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from decodekit.distribution.frozen import Frozen, lazy
from decodekit.distribution.passes import FAR, block_maxima, frozen, leaders, pieces
from decodekit.errors import ParameterError
from decodekit.types import Floats, Ids

__all__ = ["Row"]

Source = tuple["ref[Row]", float]
Scores = TypeVar("Scores", float, Floats)

_DOT = 8192  # numbers in one product of vectors: for more than 10,000 the BLAS starts threads
_SMALL = 1024.0  # the rounding error of a score up to this is below 1.2e-13


class _RowFields:
    __slots__ = ("__dict__", "__weakref__", "ids", "scale", "source", "values", "vocab_size")

    ids: Ids | None
    values: NDArray[Any]
    scale: float
    vocab_size: int | None
    source: Source | None


class Row(Frozen, _RowFields):
    """Tokens and their scores, frozen.

    Args:
        ids: int64[n] by falling score, then rising id; None for a dense row, where the index is the id.
        values: float32[n] or float64[n] (float64 in a list), in nats; a score is its value times the scale.
        scale: of a dense row; 1.0 in a list.
        vocab_size: how many tokens there are in all; None when unknown.
        source: the row whose tokens, or some of them, are here, and the factor that all their scores were multiplied
            by; None when this row was made in another way.

    Both arrays are read-only; the caller that makes a row from a new array freezes it.
    """

    __slots__ = ()

    def __new__(
        cls,
        ids: Ids | None,
        values: NDArray[Any],
        vocab_size: int | None,
        scale: float = 1.0,
        source: Source | None = None,
    ) -> Self:
        made = _RowFields()
        made.ids = ids
        made.values = values
        made.scale = scale
        made.vocab_size = vocab_size
        made.source = source
        made.__class__ = cls
        return made  # type: ignore[return-value]  # of this class now

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.ids, self.values, self.vocab_size, self.scale)

    def __len__(self) -> int:
        """How many tokens have a score here, -inf included."""
        return len(self.values)

    def factor_from(self, other: Row) -> float | None:
        """The factor by which the scores of ``other`` were multiplied to make this row, which may hold fewer tokens.

        None when this row was made in another way.
        """
        return self.source[1] if self.source is not None and self.source[0]() is other else None

    # -- scores -------------------------------------------------------------------------------------------------------

    @lazy
    def scores(self) -> Floats:
        """float64[n] in nats, aligned with `ids`; in id order when dense."""
        if self.ids is not None:
            return self.values
        scores = self.values.astype(np.float64)
        if self.scale != 1.0:
            scores *= self.scale
        return frozen(scores)

    @lazy
    def max_score(self) -> float:
        """The largest score, in nats."""
        return self.largest * self.scale

    @lazy
    def largest(self) -> float:
        """The largest value, before the scale."""
        return float(self.values[0] if self.ids is not None else np.maximum.reduce(self.values))

    @lazy
    def least(self) -> float:
        """The least value, before the scale; -inf where a token is masked."""
        return float(self.values[-1] if self.ids is not None else np.minimum.reduce(self.values))

    @property
    def mode(self) -> int:
        """The most likely token; the lowest id among equals."""
        return int(np.argmax(self.values) if self.ids is None else self.ids[0])

    @property
    def masked(self) -> bool:
        """Whether some token here has no probability."""
        size = Row.support_size.known(self)
        return self.least == -math.inf if size is None else size < len(self.values)

    @lazy
    def support_size(self) -> int:
        """How many tokens have probability."""
        if self.ids is not None or not self.masked:
            return len(self.values)
        return int(np.count_nonzero(self.values > -math.inf))

    def support(self) -> Ids:
        """int64[n], the ids that have probability, rising when dense, else by falling score."""
        kept = np.flatnonzero(self.values > -math.inf)
        return kept if self.ids is None else self.ids[kept]

    # -- sums ---------------------------------------------------------------------------------------------------------

    @property
    def deep(self) -> bool:
        """Whether a score lies so far below the largest that its square overflows a float64."""
        return (self.largest - self.least) * self.scale > FAR

    def pieces(self) -> Iterator[tuple[int, Floats, Floats]]:
        """The row a piece at a time; see `passes.pieces`."""
        return pieces(self.values, self.largest, self.scale, deep=self.deep)

    @lazy
    def sums(self) -> tuple[float, float]:
        """The total of ``exp(score - max score)``, and the mean of ``score - max score``."""
        if self.ids is not None:
            totals, moments = self.running
            return float(totals[-1]), float(moments[-1] / totals[-1])
        if self.values.dtype == np.float32 and self.scale < _SMALL:  # one pass less: a mask shows in the sum
            with np.errstate(invalid="ignore"):
                total, weighted = self._sums(deep=False)
            if not math.isnan(weighted):
                Row.support_size.put(self, len(self.values))
                return total, weighted / total
        total, weighted = self._sums(deep=self.deep)
        return total, weighted / total

    def _sums(self, *, deep: bool) -> tuple[float, float]:
        """The total of the weights, and of weight times ``score - max score``; NaN where a mask is not expected."""
        total = weighted = 0.0
        for _, shifted, weights in pieces(self.values, self.largest, self.scale, deep=deep):
            total += float(np.add.reduce(weights))
            for start in range(0, len(weights), _DOT):
                weighted += float(np.dot(shifted[start : start + _DOT], weights[start : start + _DOT]))
        return total, weighted

    @lazy
    def running(self) -> tuple[Floats, Floats]:
        """Running totals over a list, most likely token first: of the weights, and of weight times score.

        A truncation uses the beginning of them, so nothing is summed twice.
        """
        shifted = self.values - self.values[0]
        if self.deep:
            np.maximum(shifted, -FAR, out=shifted)
        weights = np.exp(shifted)
        shifted *= weights
        return np.add.accumulate(weights), np.add.accumulate(shifted)

    @lazy
    def log_total(self) -> float:
        """``log(sum(exp(score - max score)))``, in nats."""
        return math.log(self.sums[0])

    @lazy
    def log_weight(self) -> float:
        """``log(sum(exp(score)))``, in nats."""
        return self.max_score + self.log_total

    @lazy
    def offset_is_small(self) -> bool:
        """Whether `log_weight` is as precise as the scores are; with a large offset it is not."""
        return -_SMALL <= self.max_score <= _SMALL

    def normalised(self, scores: Scores) -> Scores:
        """Log-probabilities in nats from scores, where no other tokens have probability."""
        if self.offset_is_small:
            return scores - self.log_weight
        return (scores - self.max_score) - self.log_total

    @lazy
    def entropy(self) -> float:
        """Shannon entropy of these tokens alone, in nats."""
        total, mean = self.sums
        return max(0.0, math.log(total) - mean)

    @property
    def varentropy(self) -> float:
        """The variance of the surprisal of these tokens alone, in nats squared."""
        total, mean = self.sums
        return sum(float((weights * (shifted - mean) ** 2).sum()) for _, shifted, weights in self.pieces()) / total

    # -- look-ups -----------------------------------------------------------------------------------------------------

    def score(self, token_id: int) -> float | None:
        """The score of one token, in nats; None when it is not in the list."""
        ids = self.ids
        if ids is None:
            if not 0 <= token_id < len(self.values):
                raise self._outside(token_id)
            return float(self.values[token_id]) * self.scale
        last = Row._last.known(self)
        if last is not None and last[0] == token_id:
            return last[1]
        place = int((ids == token_id).argmax())
        if ids[place] == token_id:
            score = float(self.values[place])
            Row._last.put(self, (token_id, score))
            return score
        self.check_ids(np.array([token_id]))
        return None

    @lazy
    def _last(self) -> tuple[int, float] | None:
        """The token of a list whose score was looked up last, with its score."""
        return None

    def scores_of(self, token_ids: Ids) -> Floats:
        """float64[n], the scores of these tokens; -inf for a token that is not in the list."""
        self.check_ids(token_ids)
        if self.ids is None:
            scores = self.values[token_ids].astype(np.float64)
            return scores if self.scale == 1.0 else scores * self.scale
        where, found = self.places_of(token_ids)
        return np.where(found, self.values[where], -math.inf)

    def logprobs_of(self, token_ids: Ids) -> Floats:
        """float64[n] in nats, the log-probabilities of these tokens where no other has probability."""
        return self.normalised(self.scores_of(token_ids))

    def places_of(self, token_ids: Ids) -> tuple[Ids, NDArray[np.bool_]]:
        """The indices of tokens in a list, and whether each is there; where it is not, ignore the index."""
        assert self.ids is not None
        if len(token_ids) == 1:
            found = (self.ids == token_ids[0]).nonzero()[0]
            return (found, np.array([True])) if len(found) else (np.array([0]), np.array([False]))
        rising = np.argsort(self.ids)
        where = rising[np.searchsorted(self.ids, token_ids, sorter=rising).clip(max=len(rising) - 1)]
        return where, self.ids[where] == token_ids

    def check_ids(self, token_ids: Ids) -> None:
        """Raise `ParameterError` for an id which no token has."""
        if len(token_ids) and (
            token_ids.min() < 0 or (self.vocab_size is not None and token_ids.max() >= self.vocab_size)
        ):
            raise self._outside(int(token_ids.min() if token_ids.min() < 0 else token_ids.max()))

    def _outside(self, token_id: int) -> ParameterError:
        return ParameterError(f"token id {token_id} lies outside the vocabulary of {self.vocab_size} tokens")

    # -- order --------------------------------------------------------------------------------------------------------

    def first(self, k: int) -> tuple[Ids, Floats]:
        """The first k tokens by falling score, then rising id, with their scores; fewer when fewer have probability."""
        if self.ids is not None:
            return self.ids[:k], self.values[:k]
        ids, scores = self._first
        if len(ids) < k:
            ids = self.ordered_by._ordered(k)
            if len(ids) != len(scores):
                scores = frozen(self.values[ids].astype(np.float64) * self.scale)
                Row._first.put(self, (ids, scores))
        return ids[:k], scores[:k]

    @lazy
    def _first(self) -> tuple[Ids, Floats]:
        """The longest result of `first` so far; empty at the beginning."""
        return np.empty(0, dtype=np.int64), np.empty(0)

    @lazy
    def ordered_by(self) -> Row:
        """The dense row whose order is this one's: itself, or the row with the same values that was multiplied."""
        return self

    def _ordered(self, k: int) -> Ids:
        """The ids of `first`, or of more tokens where more were asked for before."""
        ids = self._order
        if len(ids) < k:
            values, ids = self.values, leaders(self.values, k, self.maxima)
            ids = ids[(-values[ids]).argsort(kind="stable")[:k]]
            if values[ids[-1]] == -math.inf:
                ids = ids[values[ids] > -math.inf]
            Row._order.put(self, frozen(ids))
        return ids

    @lazy
    def _order(self) -> Ids:
        """The longest result of `_ordered` so far; empty at the beginning."""
        return np.empty(0, dtype=np.int64)

    @lazy
    def maxima(self) -> NDArray[Any]:
        """The largest values of blocks of a dense row; see `passes.block_maxima`."""
        return block_maxima(self.values)

    def rank(self, token_id: int, score: float) -> int:
        """How many tokens score more than this one, whose score is known."""
        if self.ids is not None:
            return int(np.count_nonzero(self.values > score))
        scores = self._first[1]
        if len(scores) and score >= scores[-1]:
            return int((scores > score).sum())
        return int(np.count_nonzero(self.values > self.values[token_id]))


def _restored(ids: Ids | None, values: NDArray[Any], vocab_size: int | None, scale: float) -> Row:
    """A row from a pickle, whose arrays are writable."""
    return Row(None if ids is None else frozen(ids), frozen(values), vocab_size, scale)
