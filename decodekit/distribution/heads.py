"""Questions about tokens of which some may be undisclosed: answered where the disclosed part proves the answer.

Nothing is renormalised and nothing approximated: a question that the disclosed part does not answer raises
`Undisclosed` with the disclosure that would answer it. Every function takes the disclosed tokens, and what is known of
the hidden ones or None where there are none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from decodekit.distribution import transforms
from decodekit.distribution.disclosure import ALL, Disclosure, Interval, Undisclosed
from decodekit.distribution.hidden import Hidden
from decodekit.distribution.passes import check, frozen, rising
from decodekit.distribution.row import Row
from decodekit.distribution.transforms import AMBIGUITY
from decodekit.errors import DistributionError, ParameterError
from decodekit.types import Floats, Ids

__all__ = [
    "added",
    "allowed",
    "certain",
    "first",
    "kept",
    "log_normalizer",
    "more",
    "nucleus",
    "rank",
    "reaching",
    "require_first",
    "score",
    "scores_of",
]


_MOST_NAMED = 256  # allowed tokens that are asked for by name; where more are allowed, a longer head is asked for


def more(row: Row, hidden: Hidden | None) -> Disclosure:
    """What to ask for next: four times as many, and by name what a mask allows, where that is little."""
    if hidden is None:
        return Disclosure()
    shown = max(len(row), hidden.disclosed)
    unseen: tuple[int, ...] = ()
    if hidden.allowed is not None:
        left = hidden.allowed.copy()
        left[row.ids] = False
        unseen = tuple(left.nonzero()[0].tolist()) if np.count_nonzero(left) <= _MOST_NAMED else ()
    return Disclosure(4 * shown if row.vocab_size is None else min(4 * shown, row.vocab_size), unseen)


# -- single tokens ----------------------------------------------------------------------------------------------------


def score(row: Row, hidden: Hidden | None, token_id: int) -> float:
    """The score of a token that is not hidden; -inf where it has no probability."""
    found = row.score(token_id)
    if found is not None:
        return found
    return -math.inf if hidden is None else float(scores_of(row, hidden, np.array([token_id]))[0])


def scores_of(row: Row, hidden: Hidden | None, token_ids: Ids) -> Floats:
    """float64[n], the scores of tokens that are not hidden; -inf where one has no probability."""
    if hidden is None:
        return row.scores_of(token_ids)
    assert row.ids is not None
    count = len(token_ids)
    if np.array_equal(row.ids[:count], token_ids):  # what a truncation has kept
        return row.values[:count].copy()
    row.check_ids(token_ids)
    where, found = row.places_of(token_ids)
    unknown = ~found if hidden.allowed is None else ~found & hidden.allowed[token_ids]
    if unknown.any():
        missing = tuple(token_ids[unknown].tolist())
        raise Undisclosed(Disclosure(max(len(row), hidden.disclosed), missing), "the score of a token")
    scores: Floats = np.where(found, row.values[where], -math.inf) if not found.all() else row.values[where]
    return scores


def rank(row: Row, hidden: Hidden | None, token_id: int) -> int:
    """How many tokens are more likely than this one."""
    of_token = score(row, hidden, token_id)
    if hidden is not None and of_token < hidden.max_score:
        raise Undisclosed(ALL, "the rank of a token")
    return row.rank(token_id, of_token)


# -- the most likely tokens -------------------------------------------------------------------------------------------


def certain(row: Row, hidden: Hidden | None, k: int) -> int:
    """How many of the k most likely tokens are certain."""
    if hidden is None or (0 < k <= len(row) and row.values[k - 1] >= hidden.max_score):
        return k
    return min(k, int(np.count_nonzero(row.values >= hidden.max_score)))


def require_first(row: Row, hidden: Hidden | None, k: int) -> None:
    """Raise `Undisclosed` unless the k most likely tokens are certain."""
    if hidden is not None and (k > len(row) or row.values[k - 1] < hidden.max_score):
        need = Disclosure(k) if k > len(row) and hidden.allowed is None else more(row, hidden)
        of = "" if hidden.allowed is None else " of those that a mask allows"
        raise Undisclosed(need, (f"the {k} most likely tokens" if k > 1 else "the most likely token") + of)


def first(row: Row, hidden: Hidden | None, k: int) -> Row:
    """The k most likely tokens."""
    require_first(row, hidden, k)
    return transforms.first(row, k)


def reaching(row: Row, hidden: Hidden | None, least: float) -> tuple[Ids, Floats, bool]:
    """As `transforms.reaching`."""
    if hidden is not None and hidden.max_score >= least:
        raise Undisclosed(more(row, hidden), "which tokens reach the threshold")
    return transforms.reaching(row, least)


def nucleus(row: Row, hidden: Hidden | None, p: float, min_keep: int) -> tuple[Row, bool]:
    """As `transforms.nucleus`. Raises `Undisclosed` where the hidden tokens could change the edge."""
    if hidden is None:
        return transforms.nucleus(row, p, min_keep)
    bounds = log_normalizer(row, hidden)
    cuts = [int(np.searchsorted(np.cumsum(np.exp(row.values - log_z)), p)) + 1 for log_z in bounds]
    count = max(cuts[0], min_keep)
    if cuts[0] != cuts[1] or count > len(row) or row.values[count - 1] < hidden.max_score:
        raise Undisclosed(more(row, hidden), f"the nucleus of {p:.9g}")
    mass = np.cumsum(np.exp(row.values - bounds.low))
    near = bool((np.abs(mass[max(count - 2, 0) : count] - p) < AMBIGUITY).any())
    return first(row, hidden, count), near


def kept(row: Row, hidden: Hidden | None, which: ArrayLike | Iterable[int]) -> Row:
    """The tokens of a mask that is aligned with the row, or these ids; see `Distribution.keep`."""
    chosen = np.asarray(which if isinstance(which, np.ndarray | list | tuple) else list(which))  # type: ignore[arg-type]
    if chosen.dtype == np.bool_:
        if chosen.shape != row.values.shape:
            raise ParameterError(f"a mask of shape {chosen.shape} does not fit {len(row)} scores")
        if hidden is not None:
            raise Undisclosed(ALL, "a mask")
        return transforms.masked(row, chosen)
    ids = rising(chosen.astype(np.int64).ravel())
    scores = scores_of(row, hidden, ids)
    alive = scores > -math.inf
    return transforms.kept(row, ids[alive], scores[alive])


def allowed(row: Row, hidden: Hidden | None, mask: NDArray[np.bool_]) -> tuple[Row, Hidden | None]:
    """The tokens of a mask over the vocabulary; see `Distribution.allow`."""
    if row.vocab_size is not None and len(mask) != row.vocab_size:
        raise ParameterError(f"a mask of {len(mask)} tokens does not fit a vocabulary of {row.vocab_size}")
    if hidden is None or row.ids is None:
        return transforms.masked(row, mask if row.ids is None else mask[row.ids]), None
    if hidden.allowed is not None:
        mask = mask & hidden.allowed
    shown = mask[row.ids] & (row.values > -math.inf)
    unseen = mask.copy()
    unseen[row.ids] = False
    count = int(np.count_nonzero(unseen))
    disclosed = max(len(row), hidden.disclosed)
    if count == 0:
        return transforms.masked(row, shown), None
    most = hidden.max_score + math.log(count)
    left = Hidden(-math.inf, min(hidden.log_high, most), count, hidden.max_score, allowed=mask, disclosed=disclosed)
    if not shown.any():
        raise Undisclosed(more(row, left), "which of the allowed tokens have probability")
    return transforms.masked(row, shown), left


# -- all tokens together ----------------------------------------------------------------------------------------------


def log_normalizer(row: Row, hidden: Hidden) -> Interval:
    """Bounds on ``log(sum(exp(score)))`` over all tokens, in nats."""
    if hidden.log_normalizer is not None:
        return Interval(hidden.log_normalizer, hidden.log_normalizer)
    low, high = (float(np.logaddexp(row.log_weight, part)) for part in (hidden.log_low, hidden.log_high))
    return Interval(low, high)


def added(row: Row, hidden: Hidden | None, ids: Ids, values: ArrayLike) -> tuple[Row, Hidden | None]:
    """As `transforms.added`. A disclosed token that is banned stays in the list while others are hidden."""
    by = np.broadcast_to(np.asarray(values, dtype=np.float64), ids.shape)
    if np.isnan(by).any() or (by == math.inf).any():
        raise DistributionError("cannot add NaN or +inf to a score")
    if hidden is None:
        return transforms.biased(row, ids, by), None
    scores_of(row, hidden, ids)  # raises for a hidden one
    if hidden.allowed is not None:  # a mask has taken the others away
        here = row.places_of(ids)[1]
        ids, by = ids[here], by[here]
    scores = transforms.added(row, ids, by)
    if scores.max() == -math.inf:
        raise Undisclosed(more(row, hidden), "what is left when all disclosed tokens are banned")
    check(scores)
    assert row.ids is not None
    listed, scores = transforms.in_order(row.ids, scores)
    return Row(frozen(listed), frozen(scores), row.vocab_size), hidden.unnormalized()
