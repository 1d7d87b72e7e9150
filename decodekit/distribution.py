"""The noun of the library: a next-token distribution, and what is not known of it.

Two shapes share one class. A *dense* distribution holds a score for every token of the vocabulary, in id order: the
backend's own row plus a scale, so that temperature costs nothing. A *sparse* one lists tokens by falling score; either
nothing else has probability (the survivors of a truncation), or the rest is undisclosed (the head a remote API shows)
and bounded by a `Tail`.

Nothing here is ever renormalised in silence: a question that the disclosed part does not settle raises `Undisclosed`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NoReturn
from weakref import ref

import numpy as np
from numpy.typing import ArrayLike, NDArray

from decodekit import divergence, showing, uncertainty
from decodekit.disclosure import ALL, Disclosure, Hidden, Interval, Tail
from decodekit.errors import DistributionError, EmptySupport, ParameterError, Undisclosed
from decodekit.lazy import lazy
from decodekit.rows import check, frozen, leaders, pieces

__all__ = ["AMBIGUITY", "Distribution", "Origin", "Schedule", "Stage"]

Floats = NDArray[np.float64]
Origin = Literal["logits", "logprobs"]
Stage = Literal["raw", "processed", "unknown"]
Schedule = Mapping[str, int | str]

AMBIGUITY = 1e-9
"""A decision closer than this to its boundary is called ambiguous: summation order alone could turn it."""

_MASS_SLACK = 1e-6  # float32 logprobs of a few dozen tokens sum to one within this
_ENTROPY_SLACK = 1e-6
_MASS_EXCESS = 1e-3  # a head whose probabilities sum to more than 1 + this is no distribution


class Distribution:
    """A next-token distribution as it was disclosed. It never changes; every method answers with a new one.

    Build one with `Distribution.dense` or `Distribution.head`. Scores and entropies are in nats.

    Attributes:
        vocab_size: the number of tokens, or None when unknown.
        origin: 'logits' (scores carry the backend's own offset) or 'logprobs'.
        stage: 'raw' as the model gave it, 'processed' after a processor, 'unknown' when a provider does not say.
        temperature: the temperature the provider had applied already; 1.0 for none.
        schedule: how the adapter computed it (rows per forward and the like), or None.
        ambiguous: whether a decision on the way here lay within 1e-9 of its boundary.
    """

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
    _made_from: tuple[ref[Distribution], float] | None  # of what this holds some tokens, and their factor

    def __init__(self) -> None:
        raise TypeError("build a distribution with Distribution.dense(...) or Distribution.head(...)")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a Distribution never changes; {name} cannot be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a Distribution never changes; {name} cannot be deleted")

    @classmethod
    def _make(cls, **fields: object) -> Distribution:
        made = object.__new__(cls)
        made.__dict__.update(fields)
        return made

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_made_from": None}

    def _derive(
        self,
        row: NDArray[np.floating[Any]],
        ids: NDArray[np.int64] | None,
        *,
        scale: float = 1.0,
        hidden: Hidden | None = None,
        ambiguous: bool = False,
        factor: float | None = None,
    ) -> Distribution:
        row.flags.writeable = False
        if ids is not None:
            ids.flags.writeable = False
        made = object.__new__(Distribution)
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

    # -- building -------------------------------------------------------------------------------------------------

    @classmethod
    def dense(
        cls,
        scores: ArrayLike,
        *,
        origin: Origin = "logits",
        stage: Stage = "raw",
        temperature: float = 1.0,
        schedule: Schedule | None = None,
    ) -> Distribution:
        """A score for every token, in id order. The array is copied: it may be a buffer the model writes again.

        Args:
            scores: float[V] in nats, natural log; -inf for a masked token. float32 is kept as it is.
            origin: 'logits' or 'logprobs'.
            stage: what was done to the scores before.
            temperature: the temperature already applied by the provider.
            schedule: how they were computed, for the record.

        Raises:
            DistributionError: NaN or +inf among the scores, or an array that is not one row.
            EmptySupport: every score is -inf.
        """
        row = np.asarray(scores)
        if row.ndim != 1 or row.size == 0:
            raise DistributionError(f"dense scores must be one row of numbers, not an array of shape {row.shape}")
        if row.dtype not in (np.float32, np.float64):
            row = row.astype(np.float32 if row.dtype == np.float16 else np.float64)
        row = row.copy()
        largest = check(row)
        row.flags.writeable = False
        return cls._make(
            _row_max=largest,
            vocab_size=len(row),
            origin=origin,
            stage=stage,
            temperature=temperature,
            schedule=schedule,
            ambiguous=False,
            _row=row,
            _scale=1.0,
            _ids=None,
            _hidden=None,
            _log_z=None,
            _made_from=None,
        )

    @classmethod
    def head(
        cls,
        token_ids: ArrayLike,
        logprobs: ArrayLike,
        vocab_size: int | None = None,
        *,
        stage: Stage = "raw",
        temperature: float = 1.0,
        schedule: Schedule | None = None,
        max_hidden: float | None = None,
        entropy: float | None = None,
    ) -> Distribution:
        """The logprobs of some tokens, the others undisclosed.

        Args:
            token_ids: int[n], distinct, in any order.
            logprobs: float[n] in nats, true log-probabilities over the whole vocabulary.
            vocab_size: the number of tokens in all, or None when unknown.
            stage: what was done to the distribution before.
            temperature: the temperature already applied by the provider.
            schedule: how it was computed, for the record.
            max_hidden: an upper bound on every undisclosed logprob. The default is the smallest disclosed one, which
                is right for a top-n list; state it when tokens were asked for by id.
            entropy: of the whole distribution, in nats, where whoever made the head has seen all of it.

        Raises:
            DistributionError: no tokens, duplicate or impossible ids, NaN, a positive logprob, a sum above 1.001, or an
                entropy that no distribution over so many tokens has.
        """
        ids, scores = np.array(token_ids, dtype=np.int64), np.array(logprobs, dtype=np.float64)
        if ids.ndim != 1 or ids.shape != scores.shape or len(ids) == 0:
            raise DistributionError(f"a head needs as many ids as logprobs, at least one: {ids.shape}, {scores.shape}")
        if len(np.unique(ids)) != len(ids):
            raise DistributionError("a head names the same token twice")
        if ids.min() < 0 or (vocab_size is not None and ids.max() >= vocab_size):
            bad = int(ids.min() if ids.min() < 0 else ids.max())
            raise DistributionError(f"a head names token {bad} of a vocabulary of {vocab_size}")
        if max_hidden is not None and not math.isfinite(max_hidden):
            raise DistributionError(f"max_hidden bounds the undisclosed logprobs and is finite, not {max_hidden}")
        most = math.inf if vocab_size is None else math.log(vocab_size) + _ENTROPY_SLACK
        if entropy is not None and not (math.isfinite(entropy) and 0 <= entropy <= most):
            raise DistributionError(f"an entropy of {entropy} nats over {vocab_size} tokens is impossible")
        check(scores)
        mass = float(np.exp(scores).sum())
        if scores.max() > _MASS_EXCESS or mass > 1 + _MASS_EXCESS:
            raise DistributionError(
                f"logprobs up to {scores.max():.6g} with a sum of {mass:.6g} are no log-probabilities"
            )
        hidden = None
        if vocab_size is None or len(ids) < vocab_size:
            low, high = max(0.0, 1 - mass - _MASS_SLACK), max(0.0, 1 - mass) + _MASS_SLACK
            bound = float(scores[scores > -math.inf].min()) if max_hidden is None else float(max_hidden)
            hidden = Hidden(
                math.log(low) if low > 0 else -math.inf,
                math.log(high),
                None if vocab_size is None else vocab_size - len(ids),
                min(bound, math.log(high)),
            )
        order = np.lexsort((ids, -scores))
        if hidden is None:
            order = order[: np.count_nonzero(scores > -math.inf)]
        ids, scores = ids[order], scores[order]
        ids.flags.writeable = scores.flags.writeable = False
        stated = {} if entropy is None or hidden is None else {"entropy": float(entropy)}
        return cls._make(
            **stated,  # in the place of what would be computed; no distribution made from this one takes it along
            vocab_size=vocab_size,
            origin="logprobs",
            stage=stage,
            temperature=temperature,
            schedule=schedule,
            ambiguous=False,
            _row=scores,
            _scale=1.0,
            _ids=ids,
            _hidden=hidden,
            _log_z=None if hidden is None else 0.0,
            _made_from=None,
        )

    # -- what it holds --------------------------------------------------------------------------------------------

    @property
    def token_ids(self) -> NDArray[np.int64] | None:
        """int64[n] by falling score, then rising id; None for the whole vocabulary in id order."""
        return self._ids

    @lazy
    def scores(self) -> Floats:
        """float64[n] in nats, aligned with `token_ids`; in id order when dense. Unnormalised for logits."""
        scores = self._row.astype(np.float64)
        if self._scale != 1.0:
            scores *= self._scale
        return frozen(scores)

    @lazy
    def logprobs(self) -> Floats:
        """float64[n] in nats, aligned with `scores`. Raises `Undisclosed` when the normaliser is not known."""
        return frozen(self.scores - self.log_normalizer)

    @lazy
    def log_normalizer(self) -> float:
        """``log(sum(exp(scores)))`` over all tokens, in nats. Raises `Undisclosed` when the tail moves it."""
        if self._log_z is not None:
            return self._log_z
        if self._hidden is not None:
            raise Undisclosed(ALL, "the normaliser")
        return self._max_score + self._log_total

    @property
    def tail(self) -> Tail | None:
        """What is known of the undisclosed tokens; None when nothing is undisclosed."""
        if self._hidden is None:
            return None
        hidden = self._hidden
        low, high = (_share(log_weight, self._log_head) for log_weight in (hidden.log_low, hidden.log_high))
        least = self._log_z if self._log_z is not None else float(np.logaddexp(self._log_head, hidden.log_low))
        bound = min(hidden.max_score - least, math.log(high) if high > 0 else -math.inf)
        return Tail(low, high, hidden.count, bound)

    @property
    def mode(self) -> int:
        """The most likely token; the lowest id among equals."""
        if self._ids is None:
            return int(np.argmax(self._row))
        self._require_top(1)
        return int(self._ids[0])

    @property
    def max_score(self) -> float:
        """The largest score, in nats. Raises `Undisclosed` when a hidden token could have a larger one."""
        self._require_top(1)
        return self._max_score

    @lazy
    def order(self) -> NDArray[np.int64]:
        """All token ids of the support by falling score, then rising id. O(V log V) when dense."""
        self._require_complete("the order of all tokens")
        return frozen(self._sorted(self.support_size)[0])

    @lazy
    def support_size(self) -> int:
        """How many tokens have probability. Raises `Undisclosed` on a head with a tail."""
        self._require_complete("the size of the support")
        if self._ids is not None or not self._masked:
            return len(self._row)
        return int(np.count_nonzero(self._row > -math.inf))

    def support(self) -> NDArray[np.int64]:
        """int64[n], the ids that have probability, rising when dense, else by falling score."""
        self._require_complete("the support")
        kept = np.flatnonzero(self._row > -math.inf)
        return kept if self._ids is None else self._ids[kept]

    @lazy
    def entropy(self) -> float:
        """Shannon entropy in nats. Raises `Undisclosed` on a head that was made without it; see `bounds`."""
        self._require_complete("the entropy")
        total, mean = self._sums
        return max(0.0, math.log(total) - mean)

    @lazy
    def varentropy(self) -> float:
        """The variance of the surprisal, in nats squared. Raises `Undisclosed` on a head; see `bounds`."""
        self._require_complete("the varentropy")
        total, mean = self._sums
        return sum(float((weights * (shifted - mean) ** 2).sum()) for _, shifted, weights in self._pieces()) / total

    @property
    def _knows_entropy(self) -> bool:
        """Whether `entropy` has an answer: nothing is undisclosed, or whoever made the head stated it."""
        return self._hidden is None or "entropy" in self.__dict__

    def logprob(self, token_id: int) -> float:
        """The log-probability of one token in nats; -inf when it has none."""
        return self.score(token_id) - self.log_normalizer

    def surprisal(self, token_id: int) -> float:
        """Minus the log-probability of one token, in nats."""
        return -self.logprob(token_id)

    def score(self, token_id: int) -> float:
        """The score of one token; -inf when it has no probability."""
        if self._ids is None:
            if not 0 <= token_id < len(self._row):
                raise _outside(token_id, self.vocab_size)
            return float(self._row[token_id]) * self._scale
        if self._ids[0] == token_id:
            return float(self._row[0])
        where = (self._ids == token_id).nonzero()[0]
        return float(self._row[where[0]]) if len(where) else float(self.scores_of([token_id])[0])

    def scores_of(self, token_ids: ArrayLike) -> Floats:
        """float64[n], the scores of these tokens; -inf for tokens without probability."""
        wanted = np.asarray(token_ids, dtype=np.int64)
        self._check_ids(wanted)
        if self._ids is None:
            scores = self._row[wanted].astype(np.float64)
            return scores if self._scale == 1.0 else scores * self._scale
        where, found = self._positions(wanted)
        if self._hidden is not None and not found.all():
            missing = tuple(wanted[~found].tolist())
            raise Undisclosed(Disclosure(len(self._ids), missing), "the score of a token")
        return np.where(found, self._row[where], -math.inf)

    def logprobs_of(self, token_ids: ArrayLike) -> Floats:
        """float64[n], the log-probabilities of these tokens in nats."""
        return self.scores_of(token_ids) - self.log_normalizer

    def rank(self, token_id: int) -> int:
        """How many tokens are more likely than this one: 0 for the mode (ties share a rank)."""
        score = self.score(token_id)
        if self._ids is None:
            leaders = self.__dict__.get("_sorted_so_far")
            if leaders is not None and score >= leaders[1][-1]:
                return int((leaders[1] > score).sum())
            return int(np.count_nonzero(self._row > self._row[token_id]))
        if self._hidden is not None and score < self._hidden.max_score:
            raise Undisclosed(ALL, "the rank of a token")
        return int(np.count_nonzero(self._row > score))

    def ranked(self, k: int) -> tuple[NDArray[np.int64], Floats]:
        """The k most likely tokens that are certain, fewer when less is known: ids int64[n], scores float64[n]."""
        if self._hidden is not None:
            k = min(k, int(np.count_nonzero(self._row >= self._hidden.max_score)))
        return self._sorted(k)

    def leading(self, k: int) -> tuple[NDArray[np.int64], Floats]:
        """As `ranked`, with logprobs float64[n]; nothing where the normaliser is not known."""
        ids, scores = self.ranked(0 if self._hidden is not None and self._log_z is None else k)
        return ids, scores - self.log_normalizer if len(ids) else scores

    def reaching(self, score: float) -> tuple[NDArray[np.int64], Floats]:
        """The tokens whose score is at least ``score`` (nats): ids int64[n], scores float64[n], as `token_ids` orders.

        Raises:
            Undisclosed: a hidden token could be among them.
        """
        return self._at_least(score)[:2]

    # -- reshaping ------------------------------------------------------------------------------------------------

    def top(self, k: int, *, ambiguous: bool = False) -> Distribution:
        """The k most likely tokens and nothing else; the lowest ids among equals at the edge.

        Args:
            k: how many.
            ambiguous: whether the decision for this k lay within 1e-9 of its boundary.

        Raises:
            Undisclosed: fewer than k tokens are known to lead.
        """
        if k < 1:
            raise ParameterError(f"top(k) needs a positive k, not {k}")
        if self._hidden is None:
            if k >= (len(self._row) if self._ids is None else self.support_size):
                return self.marked_ambiguous() if ambiguous else self
            return self._first(k, ambiguous=ambiguous)
        self._require_top(k)
        return self._derive(self._row[:k], self._ids[:k], ambiguous=ambiguous)  # type: ignore[index]  # a head is sparse

    def nucleus(self, p: float, min_keep: int = 1) -> Distribution:
        """The smallest set of leading tokens whose probability is at least p.

        The token that crosses p stays; ties go to the lowest id (llama.cpp's rule, summed in float64).
        """
        if not 0 < p <= 1:
            raise ParameterError(f"nucleus(p) needs 0 < p <= 1, not {p}")
        if p == 1:
            return self
        if self._hidden is not None:
            return self._hidden_nucleus(p, min_keep)
        total = self._sums[0]
        mass = (self._leading_part(p * total, min_keep) if self._ids is None else self)._running[0]
        kept = min(max(int(mass.searchsorted(p * total)) + 1, min_keep), len(mass))
        near = abs(float(mass[kept - 1]) - p * total) < AMBIGUITY * total
        near = near or (kept > 1 and abs(float(mass[kept - 2]) - p * total) < AMBIGUITY * total)
        return self._first(kept, ambiguous=near)

    def threshold(self, score: float, min_keep: int = 1) -> Distribution:
        """The tokens whose score is at least ``score`` (nats, in the units of `scores`), and at least ``min_keep``.

        Raises:
            Undisclosed: a hidden token could pass.
        """
        if not math.isfinite(score):
            raise ParameterError(f"threshold(score) needs a finite score, not {score}")
        ids, scores, near = self._at_least(score)
        if len(ids) < min_keep:
            return self.top(min_keep, ambiguous=near)
        return (
            self._keep_ids(ids, scores, ambiguous=near) if self._ids is None else self._first(len(ids), ambiguous=near)
        )

    def keep(self, which: ArrayLike | Iterable[int], *, ambiguous: bool = False) -> Distribution:
        """These tokens and nothing else.

        Args:
            which: bool[n] aligned with `scores`, or token ids. Ids without probability are passed over.
            ambiguous: whether the decision for them lay within 1e-9 of its boundary.

        Raises:
            EmptySupport: nothing would be left.
            Undisclosed: a mask on a head with a tail (which of the hidden tokens stay?), or an id that is hidden.
        """
        chosen = np.asarray(which if isinstance(which, np.ndarray | list | tuple) else list(which))  # type: ignore[arg-type]
        if chosen.dtype == np.bool_:
            if chosen.shape != self._row.shape:
                raise ParameterError(f"a mask of shape {chosen.shape} does not fit {len(self._row)} scores")
            self._require_complete("a mask")
            if self._ids is None:
                kept = np.flatnonzero(chosen & (self._row > -math.inf))
                return self._keep_ids(kept, self.scores_of(kept), ambiguous=ambiguous)
            return self._nonempty(self._row[chosen], self._ids[chosen], ambiguous=ambiguous, factor=1.0)
        ids = np.unique(chosen.astype(np.int64)) if len(chosen) else np.empty(0, dtype=np.int64)
        scores = self.scores_of(ids)
        alive = scores > -math.inf
        return self._keep_ids(ids[alive], scores[alive], ambiguous=ambiguous)

    def with_scores(self, scores: ArrayLike) -> Distribution:
        """The same tokens with new scores, aligned with the old ones; -inf removes a token."""
        self._require_complete("new scores for tokens nobody has seen")
        row = np.array(scores, dtype=np.float64)
        if row.shape != self._row.shape:
            raise DistributionError(f"new scores of shape {row.shape} do not fit {len(self._row)} tokens")
        check(row)
        return self._sparse(row, self._ids) if self._ids is not None else self._derive(row, None)

    def scaled(self, factor: float) -> Distribution:
        """All scores multiplied by ``factor > 0``: temperature T is ``scaled(1 / T)``. The tail's bounds follow."""
        if not 0 < factor < math.inf or not 0 < self._scale * factor < math.inf:
            raise ParameterError(f"scaled(factor) needs a positive, finite factor, not {factor}")
        if factor == 1.0:
            return self
        if self._ids is None:
            scaled = self._derive(self._row, None, scale=self._scale * factor, factor=factor)
            scaled.__dict__["_row_max"] = self._row_max
            return scaled
        hidden = None if self._hidden is None else self._hidden.scaled(factor)
        return self._derive(self._row * factor, self._ids, hidden=hidden, factor=factor)

    def add(self, token_ids: ArrayLike, values: ArrayLike) -> Distribution:
        """Add ``values`` (nats; -inf bans a token) to the scores of these tokens. A token named twice gets both.

        Raises:
            Undisclosed: one of them is hidden.
        """
        ids = np.asarray(token_ids, dtype=np.int64)
        added = np.broadcast_to(np.asarray(values, dtype=np.float64), ids.shape)
        if np.isnan(added).any() or (added == math.inf).any():
            raise DistributionError("cannot add NaN or +inf to a score")
        if len(ids) == 0:
            return self
        if self._ids is None:
            self._check_ids(ids)
            row = self._row.astype(np.float64)
            if self._scale != 1.0:
                row *= self._scale
            np.add.at(row, ids, added)
            check(row)
            return self._derive(row, None)
        self.scores_of(ids)  # raises for a hidden token
        where, found = self._positions(ids)
        scores = self._row.astype(np.float64)
        np.add.at(scores, where[found], added[found])
        if self._hidden is not None and scores.max() == -math.inf:
            raise Undisclosed(self._more, "what is left when all disclosed tokens are banned")
        check(scores)
        return self._sparse(scores, self._ids, self._hidden)

    def marked_ambiguous(self) -> Distribution:
        """The same, said to rest on a decision within 1e-9 of its boundary: for a plugin that decides by itself."""
        return Distribution._make(**{**self.__dict__, "ambiguous": True})

    def truncated(self) -> Distribution:
        """The disclosed tokens alone, the tail given up. Only the ``on_undisclosed='truncate'`` policy does this."""
        if self._hidden is None:
            return self
        assert self._ids is not None
        return self._sparse(self.scores, self._ids)

    # -- comparing ------------------------------------------------------------------------------------------------

    def kl(self, other: Distribution) -> float:
        """Kullback-Leibler divergence of ``other`` from this one, ``sum(p * (log p - log q))``, in nats; may be inf."""
        return divergence.kl(self, other)

    def js(self, other: Distribution) -> float:
        """Jensen-Shannon divergence, in nats, between 0 and log 2."""
        return divergence.js(self, other)

    def tv(self, other: Distribution) -> float:
        """Total variation distance, between 0 and 1."""
        return divergence.tv(self, other)

    def bounds(self, name: Literal["entropy", "varentropy", "log_normalizer", "tail_mass"]) -> Interval:
        """An interval that is sure to hold the value, whatever the undisclosed tokens are. A point when they are none.

        Raises:
            ParameterError: the name is none of these.
        """
        return uncertainty.bounds(self, name)

    # -- inside ---------------------------------------------------------------------------------------------------

    def _factor_from(self, other: Distribution) -> float | None:
        """By what the scores of ``other`` were multiplied to make this one, which may hold fewer of its tokens.

        None when this one was made in another way. Both are complete.
        """
        if self._made_from is None or self._hidden is not None or self._made_from[0]() is not other:
            return None
        return self._made_from[1]

    @lazy
    def _max_score(self) -> float:
        return self._row_max * self._scale

    @lazy
    def _row_max(self) -> float:
        return float(self._row[0] if self._ids is not None else np.maximum.reduce(self._row))

    @lazy
    def _masked(self) -> bool:
        """Whether a token that is listed has no probability."""
        return bool((self._row[-1] if self._ids is not None else np.minimum.reduce(self._row)) == -math.inf)

    def _pieces(self) -> Iterator[tuple[int, Floats, Floats]]:
        return pieces(self._row, self._row_max, self._scale, masked=self._masked)

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
        if self._masked:
            np.maximum(shifted, -1e150, out=shifted)
        weights = np.exp(shifted)
        shifted *= weights
        return np.add.accumulate(weights), np.add.accumulate(shifted)

    @property
    def _log_total(self) -> float:
        return math.log(self._sums[0])

    @property
    def _log_head(self) -> float:
        return self._max_score + self._log_total

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

    def _first(self, n: int, *, ambiguous: bool = False) -> Distribution:
        """The first n tokens by falling score of a complete distribution; fewer when fewer have probability."""
        ids, scores = self._sorted(n)
        first = self._derive(scores, ids, ambiguous=ambiguous, factor=1.0)
        running = self.__dict__.get("_running")
        if running is not None and self._ids is not None:
            first.__dict__["_running"] = running[0][:n], running[1][:n]
        return first

    def _at_least(self, score: float) -> tuple[NDArray[np.int64], Floats, bool]:
        """The tokens of at least this score, their scores, and whether another decision was close."""
        if self._hidden is not None and self._hidden.max_score >= score:
            raise Undisclosed(self._more, "which tokens reach the threshold")
        if self._ids is not None:
            count = len(self._row) - int(self._row[::-1].searchsorted(score))
            near = count > 0 and float(self._row[count - 1]) - score < AMBIGUITY
            near = near or (count < len(self._row) and score - float(self._row[count]) < AMBIGUITY)
            return *self._sorted(count), near
        # A float32 comparison first, a little below the mark, then the exact one on the few that passed.
        slack = abs(score) * 1e-6 + 1e-6
        ids: NDArray[np.int64] = (self._row >= (score - slack) / self._scale).nonzero()[0]
        scores = self.scores_of(ids)
        passed = scores >= score
        return ids[passed], scores[passed], bool((np.abs(scores - score) < AMBIGUITY).any())

    def _keep_ids(self, ids: NDArray[np.int64], scores: Floats, *, ambiguous: bool = False) -> Distribution:
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
    ) -> Distribution:
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
    ) -> Distribution:
        if len(scores) == 0:
            raise EmptySupport("no token is left; loosen a mask or a truncation")
        return self._derive(scores, ids, hidden=hidden, ambiguous=ambiguous, factor=factor)

    def _leading_part(self, weight: float, least: int) -> Distribution:
        """The first tokens of a dense row, so many that they weigh this much together, and a few more."""
        # Few tokens hold most of the mass: exp(entropy) is how many there would be if they were all alike.
        window = max(least, 32, int(4 * math.exp(self.entropy)))
        while True:
            leaders = self._first(min(window, len(self._row)))
            if leaders._running[0][-1] >= weight or window >= len(self._row):
                return leaders
            window *= 8

    def _hidden_nucleus(self, p: float, min_keep: int) -> Distribution:
        assert self._hidden is not None and self._ids is not None
        spread = self.bounds("log_normalizer")
        cuts = [int(np.searchsorted(np.cumsum(np.exp(self._row - log_z)), p)) + 1 for log_z in spread]
        kept = max(cuts[0], min_keep)
        if cuts[0] != cuts[1] or kept > len(self._row) or self._row[kept - 1] < self._hidden.max_score:
            raise Undisclosed(self._more, f"the nucleus of {p:.9g}")
        mass = np.cumsum(np.exp(self._row - spread.low))
        near = bool((np.abs(mass[max(kept - 2, 0) : kept] - p) < AMBIGUITY).any())
        return self._derive(self._row[:kept].copy(), self._ids[:kept].copy(), ambiguous=near)

    def _require_complete(self, question: str) -> None:
        if self._hidden is not None:
            raise Undisclosed(ALL, question)

    def _require_top(self, k: int) -> None:
        if self._hidden is not None and (k > len(self._row) or self._row[k - 1] < self._hidden.max_score):
            need = Disclosure(k) if k > len(self._row) else self._more
            raise Undisclosed(need, f"the {k} most likely tokens" if k > 1 else "the most likely token")

    @property
    def _more(self) -> Disclosure:
        """A good deal more than is disclosed now, so that asking again makes progress."""
        more = 4 * len(self._row)
        return Disclosure(more if self.vocab_size is None else min(more, self.vocab_size))

    def _check_ids(self, ids: NDArray[np.int64]) -> None:
        if len(ids) and (ids.min() < 0 or (self.vocab_size is not None and ids.max() >= self.vocab_size)):
            bad = int(ids.min() if ids.min() < 0 else ids.max())
            raise _outside(bad, self.vocab_size)

    def __repr__(self) -> str:
        return showing.in_a_line(self)

    def _repr_html_(self) -> str:
        return showing.as_table(self)


def _outside(token_id: int, vocab_size: int | None) -> ParameterError:
    return ParameterError(f"token id {token_id} lies outside the vocabulary of {vocab_size} tokens")


def _share(log_part: float, log_rest: float) -> float:
    """``part / (part + rest)`` from logs."""
    return 0.0 if log_part == -math.inf else 1.0 / (1.0 + math.exp(min(log_rest - log_part, 700.0)))
