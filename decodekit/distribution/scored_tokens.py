"""Tokens and their scores as a distribution keeps them, and the passes over them that its answers are made of.

A row is dense (a score for every token, in id order, float32 or float64, times a scale) or sparse (ids by falling
score, float64). Sums accumulate in float64, and what was computed once is kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NoReturn, Self
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from decodekit.distribution.hidden import Hidden
from decodekit.distribution.lazy import lazy
from decodekit.distribution.passes import FAR, frozen, leaders, pieces
from decodekit.errors import EmptySupport, ParameterError

__all__ = ["Floats", "Origin", "Schedule", "ScoredTokens", "Stage", "outside"]

Floats = NDArray[np.float64]
Origin = Literal["logits", "logprobs"]
Stage = Literal["raw", "processed", "unknown"]
Schedule = Mapping[str, int | str]


class ScoredTokens:
    """What a `Distribution` holds; see there for the public attributes."""

    vocab_size: int | None
    origin: Origin
    stage: Stage
    temperature: float
    schedule: Schedule | None
    ambiguous: bool
    _row: NDArray[np.floating[Any]]
    _scale: float
    _ids: NDArray[np.int64] | None
    _hidden: Hidden | None
    _log_z: float | None
    _made_from: tuple[ref[ScoredTokens], float] | None  # of what this holds some tokens, and their factor

    def __init__(self) -> None:
        raise TypeError("build a distribution with Distribution.dense(...) or Distribution.head(...)")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a Distribution never changes; {name} cannot be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a Distribution never changes; {name} cannot be deleted")

    @classmethod
    def _make(cls, **fields: object) -> Self:
        made = object.__new__(cls)
        made.__dict__.update(fields)
        return made

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_made_from": None}

    # -- made from this one -------------------------------------------------------------------------------------------

    def _derive(
        self,
        row: NDArray[np.floating[Any]],
        ids: NDArray[np.int64] | None,
        *,
        scale: float = 1.0,
        hidden: Hidden | None = None,
        ambiguous: bool = False,
        factor: float | None = None,
    ) -> Self:
        row.flags.writeable = False
        if ids is not None:
            ids.flags.writeable = False
        made = object.__new__(type(self))
        made.__dict__.update(
            vocab_size=self.vocab_size,
            origin=self.origin,
            stage="processed",
            temperature=self.temperature,
            schedule=self.schedule,
            ambiguous=self.ambiguous or ambiguous,
            _row=row,
            _scale=scale,
            _ids=ids,
            _hidden=hidden,
            _log_z=None,
            _made_from=None if factor is None else (ref(self), factor),
        )
        return made

    def _first(self, n: int, *, ambiguous: bool = False) -> Self:
        """The first n tokens by falling score of a complete distribution; fewer when fewer have probability."""
        ids, scores = self._sorted(n)
        first = self._derive(scores, ids, ambiguous=ambiguous, factor=1.0)
        running = self.__dict__.get("_running")
        if running is not None and self._ids is not None:
            first.__dict__["_running"] = running[0][:n], running[1][:n]
        return first

    def _keep_ids(self, ids: NDArray[np.int64], scores: Floats, *, ambiguous: bool = False) -> Self:
        """These rising ids; dense with a mask when they are many, so that nothing is sorted for nothing."""
        if self._ids is None and len(ids) * 8 > len(self._row):
            row = np.full(len(self._row), -math.inf, dtype=self._row.dtype)
            row[ids] = self._row[ids]
            return self._derive(row, None, scale=self._scale, ambiguous=ambiguous, factor=1.0)
        return self._sparse(scores, ids, ambiguous=ambiguous, factor=1.0)

    def _sparse(
        self,
        scores: Floats,
        ids: NDArray[np.int64],
        hidden: Hidden | None = None,
        *,
        ambiguous: bool = False,
        factor: float | None = None,
    ) -> Self:
        if not (scores[1:] < scores[:-1]).all():  # most laws keep the order
            order = np.lexsort((ids, -scores))
            scores, ids = scores[order], ids[order]
        alive = len(scores) - int(scores[::-1].searchsorted(-math.inf, side="right"))
        if hidden is None and alive < len(ids):
            scores, ids = scores[:alive], ids[:alive]
        return self._nonempty(scores, ids, hidden, ambiguous=ambiguous, factor=factor)

    def _nonempty(
        self,
        scores: Floats,
        ids: NDArray[np.int64],
        hidden: Hidden | None = None,
        *,
        ambiguous: bool = False,
        factor: float | None = None,
    ) -> Self:
        if len(scores) == 0:
            raise EmptySupport("no token is left; loosen a mask or a truncation")
        return self._derive(scores, ids, hidden=hidden, ambiguous=ambiguous, factor=factor)

    def _factor_from(self, other: ScoredTokens) -> float | None:
        """By what the scores of ``other`` were multiplied to make this one, which may hold fewer of its tokens.

        None when this one was made in another way. Both are complete.
        """
        if self._made_from is None or self._hidden is not None or self._made_from[0]() is not other:
            return None
        return self._made_from[1]

    # -- passes -------------------------------------------------------------------------------------------------------

    @lazy
    def scores(self) -> Floats:
        """float64[n] in nats, aligned with `token_ids`; in id order when dense. Unnormalised for logits."""
        scores = self._row.astype(np.float64)
        if self._scale != 1.0:
            scores *= self._scale
        return frozen(scores)

    @lazy
    def _max_score(self) -> float:
        return self._row_max * self._scale

    @lazy
    def _row_max(self) -> float:
        return float(self._row[0] if self._ids is not None else np.maximum.reduce(self._row))

    @lazy
    def _masked(self) -> bool:
        """Whether a token that is listed has no probability."""
        return self._row_min == -math.inf

    @lazy
    def _row_min(self) -> float:
        return float(self._row[-1] if self._ids is not None else np.minimum.reduce(self._row))

    @lazy
    def _lowest(self) -> float:
        """The least finite score of the row, before the scale."""
        return float(np.minimum.reduce(self._row, where=self._row > -math.inf, initial=self._row_max))

    @property
    def _deep(self) -> bool:
        """Whether a score lies so far below the largest that its square is no float64."""
        return (self._row_max - self._row_min) * self._scale > FAR

    def _pieces(self) -> Iterator[tuple[int, Floats, Floats]]:
        return pieces(self._row, self._row_max, self._scale, deep=self._deep)

    @lazy
    def _sums(self) -> tuple[float, float]:
        """The total of ``exp(score - max score)``, and the mean of ``score - max score``."""
        if self._ids is not None:
            totals, moments = self._running
            return float(totals[-1]), float(moments[-1] / totals[-1])
        total = weighted = 0.0
        for _, shifted, weights in self._pieces():
            total += float(np.add.reduce(weights))
            shifted *= weights
            weighted += float(np.add.reduce(shifted))
        return total, weighted / total

    @lazy
    def _running(self) -> tuple[Floats, Floats]:
        """Running totals over a sparse row, most likely token first: of the weights, and of weight times score.

        A truncation is a shorter view of them, so nothing is added up twice.
        """
        shifted = self._row - self._row[0]
        if self._deep:
            np.maximum(shifted, -FAR, out=shifted)
        weights = np.exp(shifted)
        shifted *= weights
        return np.add.accumulate(weights), np.add.accumulate(shifted)

    @property
    def _log_total(self) -> float:
        return math.log(self._sums[0])

    @property
    def _log_head(self) -> float:
        return self._max_score + self._log_total

    # -- places -------------------------------------------------------------------------------------------------------

    def _sorted(self, k: int) -> tuple[NDArray[np.int64], Floats]:
        """The k first tokens by falling score, then rising id, with their scores."""
        if self._ids is not None:
            return self._ids[:k], self._row[:k]  # type: ignore[return-value]  # a sparse row is float64
        known: tuple[NDArray[np.int64], Floats] | None = self.__dict__.get("_sorted_so_far")
        if known is None or len(known[0]) < k:
            row, candidates = self._row, self._leading_ids(k)
            candidates = candidates[(-row[candidates]).argsort(kind="stable")[:k]]
            if self._masked:
                candidates = candidates[row[candidates] > -math.inf]
            known = frozen(candidates), frozen(row[candidates].astype(np.float64) * self._scale)
            self.__dict__["_sorted_so_far"] = known
        return known[0][:k], known[1][:k]

    def _leading_ids(self, k: int) -> NDArray[np.int64]:
        """Rising ids of a dense row that surely contain the k most likely; all others score no more than the least."""
        return leaders(self._row, k)

    def _positions(self, wanted: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        assert self._ids is not None
        if len(wanted) == 1:
            found = (self._ids == wanted[0]).nonzero()[0]
            return (found, np.array([True])) if len(found) else (np.array([0]), np.array([False]))
        rising = np.argsort(self._ids)
        where = rising[np.searchsorted(self._ids, wanted, sorter=rising).clip(max=len(rising) - 1)]
        return where, self._ids[where] == wanted

    def _check_ids(self, ids: NDArray[np.int64]) -> None:
        if len(ids) and (ids.min() < 0 or (self.vocab_size is not None and ids.max() >= self.vocab_size)):
            bad = int(ids.min() if ids.min() < 0 else ids.max())
            raise outside(bad, self.vocab_size)


def outside(token_id: int, vocab_size: int | None) -> ParameterError:
    """The error that names an id which no token has."""
    return ParameterError(f"token id {token_id} lies outside the vocabulary of {vocab_size} tokens")
