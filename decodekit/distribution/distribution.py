"""The noun of the library: a next-token distribution, and what is not known of it.

Two shapes share one class. A *dense* distribution holds a score for every token of the vocabulary, in id order: the
backend's own row plus a scale, so that temperature costs nothing. A *sparse* one lists tokens by falling score; either
nothing else has probability (the survivors of a truncation), or the rest is undisclosed (the head a remote API shows)
and bounded by a `Tail`.

Nothing here is ever renormalised in silence: a question that the disclosed part does not settle raises `Undisclosed`.

How distributions are built and reshaped stands here; how they keep their scores, in `scored_tokens`; what can be asked
of them, in `partly_hidden`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from decodekit.distribution import divergence, notebook
from decodekit.distribution.bounds import bounds_of
from decodekit.distribution.disclosure import Interval, Undisclosed
from decodekit.distribution.hidden import Hidden
from decodekit.distribution.partly_hidden import AMBIGUITY, PartlyHidden
from decodekit.distribution.passes import check
from decodekit.distribution.scored_tokens import Origin, Schedule, Stage
from decodekit.errors import DistributionError, ParameterError

__all__ = ["AMBIGUITY", "Distribution", "Origin", "Schedule", "Stage"]

_OFFSET = 1e6  # from here on the rounding of a scaled score is no longer small beside 1e-9
_SCALED = 1e305  # a float64 that is multiplied beyond this overflows
_MASS_SLACK = 1e-6  # float32 logprobs of a few dozen tokens sum to one within this
_ENTROPY_SLACK = 1e-6
_MASS_EXCESS = 1e-3  # a head whose probabilities sum to more than 1 + this is no distribution


class Distribution(PartlyHidden):
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

    # -- building -----------------------------------------------------------------------------------------------------

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

    # -- reshaping ----------------------------------------------------------------------------------------------------

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
        """All scores multiplied by ``factor > 0``: temperature T is ``scaled(1 / T)``. The tail's bounds follow.

        Where the largest score is beyond ±1e6, or a product would overflow, it is subtracted first, so that no digits
        of the differences are lost; a token that is then beyond every float64 has no probability any more.
        """
        if not 0 < factor < math.inf or not 0 < self._scale * factor < math.inf:
            raise ParameterError(f"scaled(factor) needs a positive, finite factor, not {factor}")
        if factor == 1.0:
            return self
        if self._hidden is None and self._loses_digits(factor):
            with np.errstate(over="ignore"):
                scores = (self.scores - self._max_score) * factor
            return self._derive(scores, None) if self._ids is None else self._sparse(scores, self._ids)
        if self._ids is None:
            scaled = self._derive(self._row, None, scale=self._scale * factor, factor=factor)
            scaled.__dict__["_row_max"] = self._row_max
            return scaled
        hidden = None if self._hidden is None else self._hidden.scaled(factor)
        return self._derive(self._row * factor, self._ids, hidden=hidden, factor=factor)

    def _loses_digits(self, factor: float) -> bool:
        """Whether scores times ``factor`` lose the differences between them, or overflow."""
        if abs(self._max_score) > _OFFSET:
            return True
        scale = self._scale * factor
        if scale <= 1.0 or (self._row.dtype == np.float32 and scale < 1e250):
            return False  # nothing grows, or a float32 grows to what a float64 holds
        lowest = self._row_min if self._row_min > -math.inf else self._lowest
        return max(abs(self._row_max), abs(lowest)) * scale > _SCALED

    def add(self, token_ids: ArrayLike, values: ArrayLike) -> Distribution:
        """Add ``values`` (nats; -inf bans a token) to the scores of these tokens. A token named twice gets both.

        Where the largest score is beyond ±1e6, it is subtracted from all first: beside it a value would be rounded.

        Raises:
            Undisclosed: one of them is hidden.
        """
        ids = np.asarray(token_ids, dtype=np.int64)
        added = np.broadcast_to(np.asarray(values, dtype=np.float64), ids.shape)
        if np.isnan(added).any() or (added == math.inf).any():
            raise DistributionError("cannot add NaN or +inf to a score")
        if len(ids) == 0:
            return self
        if self._hidden is None and abs(self._max_score) > _OFFSET:
            return self.with_scores(self.scores - self._max_score).add(ids, added)
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

    # -- comparing ----------------------------------------------------------------------------------------------------

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
        return bounds_of(self, name)

    def __repr__(self) -> str:
        return notebook.in_a_line(self)

    def _repr_html_(self) -> str:
        return notebook.as_table(self, self.bounds("entropy"))
