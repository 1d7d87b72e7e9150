"""Questions about tokens of which some may be hidden: answered where what is disclosed proves the answer.

Nothing is renormalised and nothing approximated: a question that the disclosed part does not settle raises
`Undisclosed` with what would settle it.
"""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from decodekit.distribution.disclosure import ALL, Disclosure, Tail, Undisclosed
from decodekit.distribution.lazy import lazy
from decodekit.distribution.passes import frozen
from decodekit.distribution.scored_tokens import Floats, ScoredTokens, outside

__all__ = ["AMBIGUITY", "PartlyHidden"]

_Scores = TypeVar("_Scores", float, Floats)

AMBIGUITY = 1e-9
"""A decision closer than this to its boundary is called ambiguous: summation order alone could turn it."""


class PartlyHidden(ScoredTokens):
    """The questions a `Distribution` answers."""

    @property
    def token_ids(self) -> NDArray[np.int64] | None:
        """int64[n] by falling score, then rising id; None for the whole vocabulary in id order."""
        return self._ids

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

    # -- probabilities ------------------------------------------------------------------------------------------------

    @lazy
    def log_normalizer(self) -> float:
        """``log(sum(exp(scores)))`` over all tokens, in nats. Raises `Undisclosed` when the tail moves it."""
        if self._log_z is not None:
            return self._log_z
        if self._hidden is not None:
            raise Undisclosed(ALL, "the normaliser")
        return self._max_score + self._log_total

    @lazy
    def logprobs(self) -> Floats:
        """float64[n] in nats, aligned with `scores`. Raises `Undisclosed` when the normaliser is not known."""
        return frozen(self._normalised(self.scores))

    def _normalised(self, scores: _Scores) -> _Scores:
        """Scores as log-probabilities. Raises `Undisclosed` when the normaliser is not known.

        The largest score goes first: the sum that `log_normalizer` is loses what a large offset swallows.
        """
        return (scores - self._max_score) - self._log_total if self._hidden is None else scores - self.log_normalizer

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

    # -- single tokens ------------------------------------------------------------------------------------------------

    def logprob(self, token_id: int) -> float:
        """The log-probability of one token in nats; -inf when it has none."""
        return self._normalised(self.score(token_id))

    def surprisal(self, token_id: int) -> float:
        """Minus the log-probability of one token, in nats."""
        return -self.logprob(token_id)

    def score(self, token_id: int) -> float:
        """The score of one token; -inf when it has no probability."""
        if self._ids is None:
            if not 0 <= token_id < len(self._row):
                raise outside(token_id, self.vocab_size)
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
        return self._normalised(self.scores_of(token_ids))

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

    # -- leading tokens -----------------------------------------------------------------------------------------------

    def ranked(self, k: int) -> tuple[NDArray[np.int64], Floats]:
        """The k most likely tokens that are certain, fewer when less is known: ids int64[n], scores float64[n]."""
        if self._hidden is not None:
            k = min(k, int(np.count_nonzero(self._row >= self._hidden.max_score)))
        return self._sorted(k)

    def leading(self, k: int) -> tuple[NDArray[np.int64], Floats]:
        """As `ranked`, with logprobs float64[n]; nothing where the normaliser is not known."""
        ids, scores = self.ranked(0 if self._hidden is not None and self._log_z is None else k)
        return ids, self._normalised(scores) if len(ids) else scores

    def reaching(self, score: float) -> tuple[NDArray[np.int64], Floats]:
        """The tokens whose score is at least ``score`` (nats): ids int64[n], scores float64[n], as `token_ids` orders.

        Raises:
            Undisclosed: a hidden token could be among them.
        """
        return self._at_least(score)[:2]

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

    # -- what is proved -----------------------------------------------------------------------------------------------

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


def _share(log_part: float, log_rest: float) -> float:
    """``part / (part + rest)`` from logs."""
    return 0.0 if log_part == -math.inf else 1.0 / (1.0 + math.exp(min(log_rest - log_part, 700.0)))
