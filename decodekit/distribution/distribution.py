"""A next-token distribution, and what is known of its undisclosed tokens.

A *dense* distribution holds a score for every token of the vocabulary, in id order: the backend's own row plus a scale,
so that temperature costs nothing. A *sparse* one lists tokens by falling score; either nothing else has probability
(what a truncation has kept), or the rest is undisclosed (the head a remote API shows) and bounded by a `Tail`.

Its two parts are a `Row`, the tokens with their scores, and `Hidden`, what is known of the undisclosed ones, or None.
Nothing is ever renormalised silently: a question that the disclosed part does not answer raises `Undisclosed`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from decodekit.distribution import building, divergence, heads, notebook, transforms
from decodekit.distribution.bounds import Quantity, bounds_of
from decodekit.distribution.disclosure import ALL, Interval, Tail, Undisclosed
from decodekit.distribution.fields import Fields, Origin, Schedule, Stage, filled
from decodekit.distribution.frozen import Frozen, lazy
from decodekit.distribution.hidden import Hidden
from decodekit.distribution.passes import frozen
from decodekit.distribution.row import Row
from decodekit.distribution.transforms import AMBIGUITY
from decodekit.errors import ParameterError
from decodekit.types import Floats, Ids

__all__ = ["AMBIGUITY", "Distribution", "Origin", "Schedule", "Stage"]


class Distribution(Frozen, Fields):
    """A next-token distribution as it was disclosed. It never changes; every method returns a new one.

    Build one with `Distribution.dense`, `Distribution.head` or `Distribution.listed`. Scores and entropies are in nats.

    Attributes:
        row, hidden: its parts; ``hidden`` is None when no token is undisclosed.
        origin: 'logits' (scores carry the backend's own offset) or 'logprobs'.
        stage: 'raw' as the model gave it, 'processed' after a processor, 'unknown' when a provider does not say.
        temperature: the temperature the provider had applied already; 1.0 for none.
        schedule: how the adapter computed it (rows per forward and the like), or None.
        ambiguous: whether a decision on the way here lay within 1e-9 of its boundary.
    """

    __slots__ = ()

    def __init__(self) -> None:
        raise TypeError("build a distribution with Distribution.dense(...), .head(...) or .listed(...)")

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
        """A score for every token, in id order. The array is copied: it may be a buffer that the model overwrites.

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
        return filled(cls, building.dense_row(scores), None, origin, stage, temperature, schedule)

    @classmethod
    def listed(
        cls,
        token_ids: ArrayLike,
        scores: ArrayLike,
        vocab_size: int | None = None,
        *,
        origin: Origin = "logits",
        stage: Stage = "raw",
        temperature: float = 1.0,
        schedule: Schedule | None = None,
    ) -> Distribution:
        """The scores of some tokens; no other token has probability.

        Args:
            token_ids: int[n], distinct, in any order.
            scores: float[n] in nats, with any offset; -inf for a token without probability.
            vocab_size: the number of tokens in all, or None when unknown.
            origin, stage, temperature, schedule: as for `dense`.

        Raises:
            DistributionError: no tokens, duplicate or impossible ids, NaN, +inf; `EmptySupport`: every score is -inf.
        """
        row = building.listed_row(token_ids, scores, vocab_size)
        return filled(cls, row, None, origin, stage, temperature, schedule)

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
        support: int | None = None,
    ) -> Distribution:
        """The logprobs of some tokens, the others undisclosed.

        Args:
            token_ids: int[n], distinct, in any order.
            logprobs: float[n] in nats, true log-probabilities over the whole vocabulary.
            vocab_size: the number of tokens in all, or None when unknown.
            stage, temperature, schedule: as for `dense`.
            max_hidden: an upper bound on every undisclosed logprob. The default is the smallest disclosed one, which
                is right for a top-n list; state it when tokens were asked for by id.
            entropy: the entropy of the whole distribution, in nats, if the maker of the head has seen all of it.
            support: how many of all tokens have probability, if the maker of the head has seen all of it.

        Raises:
            DistributionError: no tokens, duplicate or impossible ids, NaN, a positive logprob, a sum above 1.001, or an
                entropy or a support that no distribution over so many tokens has.
        """
        row, hidden = building.head_of(token_ids, logprobs, vocab_size, max_hidden, entropy, support)
        return filled(cls, row, hidden, "logprobs", stage, temperature, schedule)

    def _with(self, row: Row, hidden: Hidden | None = None, ambiguous: bool = False) -> Distribution:
        """The result of a processor: another row, the same labels."""
        ambiguous = ambiguous or self.ambiguous
        return filled(Distribution, row, hidden, self.origin, "processed", self.temperature, self.schedule, ambiguous)

    @property
    def vocab_size(self) -> int | None:
        """The number of tokens, or None when unknown."""
        return self.row.vocab_size

    @property
    def token_ids(self) -> Ids | None:
        """int64[n] by falling score, then rising id; None for the whole vocabulary in id order."""
        return self.row.ids

    @property
    def scores(self) -> Floats:
        """float64[n] in nats, aligned with `token_ids`; in id order when dense. Unnormalised for logits."""
        return self.row.scores

    @property
    def tail(self) -> Tail | None:
        """What is known of the undisclosed tokens; None when nothing is undisclosed."""
        return None if self.hidden is None else self.hidden.tail(self.row.log_weight)

    @property
    def mode(self) -> int:
        """The most likely token; the lowest id among equals."""
        self.require_top(1)
        return self.row.mode

    @property
    def max_score(self) -> float:
        """The largest score, in nats. Raises `Undisclosed` when a hidden token could have a larger one."""
        self.require_top(1)
        return self.row.max_score

    @lazy
    def order(self) -> Ids:
        """All token ids of the support by falling score, then rising id. O(V log V) when dense."""
        self.require_complete("the order of all tokens")
        return frozen(self.row.first(self.row.support_size)[0])

    @property
    def support_size(self) -> int:
        """How many tokens have probability. Raises `Undisclosed` on a head that was made without it."""
        if self.hidden is not None and self.hidden.support is not None:
            return self.hidden.support
        self.require_complete("the size of the support")
        return self.row.support_size

    def support(self) -> Ids:
        """int64[n], the ids that have probability, rising when dense, else by falling score."""
        self.require_complete("the support")
        return self.row.support()

    def score(self, token_id: int) -> float:
        """The score of one token; -inf when it has no probability."""
        return heads.score(self.row, self.hidden, token_id)

    def scores_of(self, token_ids: ArrayLike) -> Floats:
        """float64[n], the scores of these tokens; -inf for tokens without probability."""
        return heads.scores_of(self.row, self.hidden, np.asarray(token_ids, dtype=np.int64))

    @lazy
    def log_normalizer(self) -> float:
        """``log(sum(exp(scores)))`` over all tokens, in nats. Raises `Undisclosed` when the tail affects it."""
        if self.hidden is None:
            return self.row.log_weight
        if self.hidden.log_normalizer is None:
            raise Undisclosed(ALL, "the normaliser")
        return self.hidden.log_normalizer

    @property
    def knows_normalizer(self) -> bool:
        """Whether `log_normalizer` is known, and so the log-probabilities of disclosed tokens."""
        return self.hidden is None or self.hidden.log_normalizer is not None

    @lazy
    def logprobs(self) -> Floats:
        """float64[n] in nats, aligned with `scores`. Raises `Undisclosed` when the normaliser is not known."""
        return frozen(self._normalised(self.row.scores))

    def _normalised(self, scores: Floats) -> Floats:
        return self.row.normalised(scores) if self.hidden is None else scores - self.log_normalizer

    @lazy
    def entropy(self) -> float:
        """Shannon entropy in nats. Raises `Undisclosed` on a head that was made without it; see `bounds`."""
        if self.hidden is not None and self.hidden.entropy is not None:
            return self.hidden.entropy
        self.require_complete("the entropy")
        return self.row.entropy

    @property
    def knows_entropy(self) -> bool:
        """Whether `entropy` is known: nothing is undisclosed, or the maker of the head stated it."""
        return self.hidden is None or self.hidden.entropy is not None

    @lazy
    def varentropy(self) -> float:
        """The variance of the surprisal, in nats squared. Raises `Undisclosed` on a head; see `bounds`."""
        self.require_complete("the varentropy")
        return self.row.varentropy

    def logprob(self, token_id: int) -> float:
        """The log-probability of one token in nats; -inf when it has none."""
        score = self.score(token_id)
        return self.row.normalised(score) if self.hidden is None else score - self.log_normalizer

    def surprisal(self, token_id: int) -> float:
        """Minus the log-probability of one token, in nats."""
        return -self.logprob(token_id)

    def logprobs_of(self, token_ids: ArrayLike) -> Floats:
        """float64[n], the log-probabilities of these tokens in nats."""
        return self._normalised(self.scores_of(token_ids))

    def bounds(self, name: Quantity) -> Interval:
        """An interval that certainly contains the value; a point if no token is undisclosed."""
        return bounds_of(self.row, self.hidden, name)

    def rank(self, token_id: int) -> int:
        """How many tokens are more likely than this one: 0 for the mode (ties share a rank)."""
        return heads.rank(self.row, self.hidden, token_id)

    def ranked(self, k: int) -> tuple[Ids, Floats]:
        """The k most likely tokens, or as many as are certain: ids int64[n], scores float64[n]."""
        return self.row.first(heads.certain(self.row, self.hidden, k))

    def leading(self, k: int) -> tuple[Ids, Floats]:
        """As `ranked`, with logprobs float64[n]; empty where the normaliser is not known."""
        if self.hidden is None:
            ids, scores = self.row.first(k)
            return ids, self.row.normalised(scores)
        ids, scores = self.ranked(k if self.knows_normalizer else 0)
        return ids, self._normalised(scores) if len(ids) else scores

    def reaching(self, score: float) -> tuple[Ids, Floats]:
        """The tokens of at least this score (nats): ids int64[n], scores float64[n], in the order of `token_ids`.

        Raises `Undisclosed` when a hidden token could be among them.
        """
        return heads.reaching(self.row, self.hidden, score)[:2]

    def require_complete(self, question: str) -> None:
        """Raise `Undisclosed` for this question where tokens are undisclosed."""
        if self.hidden is not None:
            raise Undisclosed(ALL, question)

    def require_top(self, k: int) -> None:
        """Raise `Undisclosed` unless the k most likely tokens are certain."""
        heads.require_first(self.row, self.hidden, k)

    def top(self, k: int, *, ambiguous: bool = False) -> Distribution:
        """The k most likely tokens and nothing else; the lowest ids among equals at the edge.

        ``ambiguous``: the decision for this k lay within 1e-9 of its boundary. `Undisclosed`: fewer are certain.
        """
        if k < 1:
            raise ParameterError(f"top(k) needs a positive k, not {k}")
        row, hidden = self.row, self.hidden
        if hidden is None and k >= len(row):
            return self.marked_ambiguous() if ambiguous else self
        return self._with(heads.first(row, hidden, k), None, ambiguous)

    def nucleus(self, p: float, min_keep: int = 1) -> Distribution:
        """The smallest set of leading tokens whose probability is at least p.

        The token that crosses p stays; ties go to the lowest id (llama.cpp's rule, summed in float64).
        """
        if p == 1:
            return self
        if not 0 < p < 1:
            raise ParameterError(f"nucleus(p) needs 0 < p <= 1, not {p}")
        row, ambiguous = heads.nucleus(self.row, self.hidden, p, min_keep)
        return self._with(row, None, ambiguous)

    def threshold(self, score: float, min_keep: int = 1) -> Distribution:
        """The tokens with at least this score (nats), at least ``min_keep``. `Undisclosed`: a hidden one may pass."""
        if not math.isfinite(score):
            raise ParameterError(f"threshold(score) needs a finite score, not {score}")
        ids, scores, near = heads.reaching(self.row, self.hidden, score)
        if len(ids) < min_keep:
            return self.top(min_keep, ambiguous=near)
        row = self.row
        row = transforms.kept(row, ids, scores) if row.ids is None else transforms.first(row, len(ids))
        return self._with(row, None, near)

    def keep(self, which: ArrayLike | Iterable[int], *, ambiguous: bool = False) -> Distribution:
        """These tokens and nothing else.

        Args:
            which: bool[n] aligned with `scores`, or token ids. Ids without probability are ignored.
            ambiguous: whether the decision for them lay within 1e-9 of its boundary.

        Raises:
            EmptySupport: nothing would be left.
            Undisclosed: a mask on a head with a tail (which of the hidden tokens stay?), or an id that is hidden.
        """
        return self._with(heads.kept(self.row, self.hidden, which), None, ambiguous)

    def allow(self, mask: NDArray[np.bool_]) -> Distribution:
        """The tokens of a mask, bool[vocabulary] in id order; hidden ones stay hidden. `Undisclosed`: none is shown."""
        return self._with(*heads.allowed(self.row, self.hidden, mask))

    def with_scores(self, scores: ArrayLike) -> Distribution:
        """The same tokens with new scores, aligned with the old ones; -inf removes a token."""
        self.require_complete("new scores for undisclosed tokens")
        return self._with(transforms.rescored(self.row, np.array(scores, dtype=np.float64)))

    def scaled(self, factor: float) -> Distribution:
        """All scores multiplied by ``factor > 0``: temperature T is ``scaled(1 / T)``. The tail's bounds are scaled
        too.

        Where the largest score is beyond ±1e6, or a product would overflow, it is subtracted first, so that the
        differences keep their precision; a token whose score then overflows a float64 has no probability any more.
        """
        if factor == 1.0:
            return self
        if not 0 < factor < math.inf or not 0 < self.row.scale * factor < math.inf:
            raise ParameterError(f"scaled(factor) needs a positive, finite factor, not {factor}")
        hidden = None if self.hidden is None else self.hidden.scaled(factor)
        return self._with(transforms.scaled(self.row, factor, complete=hidden is None), hidden)

    def add(self, token_ids: ArrayLike, values: ArrayLike) -> Distribution:
        """Add ``values`` (nats; -inf bans a token) to the scores of these tokens, none of which may be hidden.

        A token that is named twice gets both. Where the largest score is beyond ±1e6, it is subtracted from all first.
        """
        ids = np.asarray(token_ids, dtype=np.int64)
        return self if len(ids) == 0 else self._with(*heads.added(self.row, self.hidden, ids, values))

    def marked_ambiguous(self) -> Distribution:
        """The same, marked as decided within 1e-9 of a boundary: for a plugin that makes its own decision."""
        return filled(Distribution, *self.parts_and_labels(), ambiguous=True)

    def truncated(self) -> Distribution:
        """The disclosed tokens alone, without the tail. Only the ``on_undisclosed='truncate'`` policy does this."""
        return self if self.hidden is None else self._with(transforms.rescored(self.row, self.row.scores))

    def kl(self, other: Distribution) -> float:
        """Kullback-Leibler divergence of ``other`` from this one, ``sum(p * (log p - log q))``, in nats; may be inf."""
        return divergence.kl(*self._both_rows(other))

    def js(self, other: Distribution) -> float:
        """Jensen-Shannon divergence, in nats, between 0 and log 2."""
        return divergence.js(*self._both_rows(other))

    def tv(self, other: Distribution) -> float:
        """Total variation distance, between 0 and 1."""
        return divergence.tv(*self._both_rows(other))

    def _both_rows(self, other: Distribution) -> tuple[Row, Row]:
        for dist in (self, other):
            dist.require_complete("a divergence")
        return self.row, other.row

    def __repr__(self) -> str:
        return notebook.as_line(self, *self.leading(3))

    def _repr_html_(self) -> str:
        return notebook.as_table(self, *self.leading(10), self.bounds("entropy"))
