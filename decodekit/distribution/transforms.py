"""New rows from old ones: selections, temperature, bias. No token is undisclosed here; see `heads` for those.

A function also returns whether its decision was ambiguous: within `AMBIGUITY` of its boundary.
"""

from __future__ import annotations

import math
from typing import Any
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from decodekit.distribution.passes import block_maxima, check, frozen
from decodekit.distribution.row import Row
from decodekit.errors import DistributionError, EmptySupport
from decodekit.types import Floats, Ids

__all__ = [
    "AMBIGUITY",
    "added",
    "biased",
    "checked",
    "first",
    "in_order",
    "kept",
    "listed",
    "masked",
    "nucleus",
    "reaching",
    "rescored",
    "scaled",
]

AMBIGUITY = 1e-9
"""A decision closer than this to its boundary is called ambiguous: summation order alone could change it."""

_LARGEST, _LEAST, _SUPPORT_SIZE = Row.largest, Row.least, Row.support_size  # the attributes
_RUNNING, _MAXIMA, _ORDERED_BY = Row.running, Row.maxima, Row.ordered_by
_OFFSET = 1e6  # from here on the rounding error of a scaled score is not small compared with 1e-9
_SCALED = 1e305  # a float64 that is multiplied beyond this overflows


def listed(ids: Ids, scores: Floats, vocab_size: int | None, source: tuple[ref[Row], float] | None = None) -> Row:
    """Distinct tokens in any order as a list; those without probability are left out.

    Raises:
        EmptySupport: none has probability.
    """
    ids, scores = in_order(ids, scores)
    if len(scores) and scores[-1] == -math.inf:
        alive = np.count_nonzero(scores > -math.inf)
        ids, scores = ids[:alive], scores[:alive]
    return _nonempty(ids, scores, vocab_size, source)


def in_order(ids: Ids, scores: Floats) -> tuple[Ids, Floats]:
    """Tokens and scores by falling score, then rising id."""
    if np.count_nonzero(scores[1:] < scores[:-1]) < len(scores) - 1:  # most processors keep the order
        order = np.lexsort((ids, -scores))
        return ids[order], scores[order]
    return ids, scores


def _nonempty(ids: Ids, scores: Floats, vocab_size: int | None, source: tuple[ref[Row], float] | None) -> Row:
    if len(scores) == 0:
        raise EmptySupport("no token is left; loosen a mask or a truncation")
    return Row(frozen(ids), frozen(scores), vocab_size, 1.0, source)


# -- selections -------------------------------------------------------------------------------------------------------


def first(row: Row, k: int) -> Row:
    """The first k tokens by falling score; fewer when fewer have probability."""
    if row.ids is None:
        ids, scores = row.first(k)
        return Row(ids, scores, row.vocab_size, 1.0, (ref(row), 1.0))
    leading = Row(row.ids[:k], row.values[:k], row.vocab_size, 1.0, (ref(row), 1.0))
    running = _RUNNING.known(row)
    if running is not None:
        _RUNNING.put(leading, (running[0][:k], running[1][:k]))
    return leading


def kept(row: Row, ids: Ids, scores: Floats) -> Row:
    """These rising ids with their scores; dense with a mask when there are many, which saves a sort."""
    if row.ids is None and len(ids) * 8 > len(row.values):
        values = np.full(len(row.values), -math.inf, dtype=row.values.dtype)
        values[ids] = row.values[ids]
        return Row(None, frozen(values), row.vocab_size, row.scale, (ref(row), 1.0))
    return listed(ids, scores, row.vocab_size, (ref(row), 1.0))


def masked(row: Row, mask: NDArray[np.bool_]) -> Row:
    """The tokens where a mask, aligned with the row, is true."""
    if row.ids is None:
        alive = mask & (row.values > -math.inf)
        if np.count_nonzero(alive) * 8 > len(row.values):  # as `kept` would make it, without the ids
            values = np.where(alive, row.values, row.values.dtype.type(-math.inf))
            return Row(None, frozen(values), row.vocab_size, row.scale, (ref(row), 1.0))
        ids = np.flatnonzero(alive)
        return kept(row, ids, row.scores_of(ids))
    return _nonempty(row.ids[mask], row.values[mask], row.vocab_size, (ref(row), 1.0))


def nucleus(row: Row, p: float, min_keep: int) -> tuple[Row, bool]:
    """The smallest set of leading tokens whose probability is at least p, and whether its edge is ambiguous."""
    target, near = p * row.sums[0], AMBIGUITY * row.sums[0]
    mass = (_leading_part(row, target, min_keep) if row.ids is None else row).running[0]
    count = min(max(int(mass.searchsorted(target)) + 1, min_keep), len(mass))
    ambiguous = abs(float(mass[count - 1]) - target) < near
    ambiguous = ambiguous or (count > 1 and abs(float(mass[count - 2]) - target) < near)
    return first(row, count), ambiguous


def _leading_part(row: Row, weight: float, least: int) -> Row:
    """The first tokens of a dense row that together have this weight, and a few more."""
    # Few tokens hold most of the mass: exp(entropy) is their number if they were equally likely.
    window = max(least, 32, int(4 * math.exp(row.entropy)))
    while True:
        leading = first(row, min(window, len(row.values)))
        if leading.running[0][-1] >= weight or window >= len(row.values):
            return leading
        window *= 8


def reaching(row: Row, score: float) -> tuple[Ids, Floats, bool]:
    """The tokens of at least this score, their scores, and whether a decision was ambiguous."""
    values = row.values
    if row.ids is not None:
        count = len(values) - int(values[::-1].searchsorted(score))
        near = count > 0 and float(values[count - 1]) - score < AMBIGUITY
        near = near or (count < len(values) and score - float(values[count]) < AMBIGUITY)
        return *row.first(count), near
    # A float32 comparison first, a little below the limit, then the exact one on the few that passed.
    slack = abs(score) * 1e-6 + 1e-6
    ids: Ids = (values >= (score - slack) / row.scale).nonzero()[0]
    scores = row.scores_of(ids)
    passed = scores >= score
    return ids[passed], scores[passed], bool((np.abs(scores - score) < AMBIGUITY).any())


# -- other scores -----------------------------------------------------------------------------------------------------


def rescored(row: Row, scores: Floats) -> Row:
    """The same tokens with new scores, aligned with the old ones; -inf removes a token."""
    if scores.shape != row.values.shape:
        raise DistributionError(f"new scores of shape {scores.shape} do not fit {len(row)} tokens")
    if row.ids is None:
        return checked(scores, row.vocab_size)
    check(scores)
    return listed(row.ids, scores, row.vocab_size)


def checked(scores: NDArray[np.floating[Any]], vocab_size: int | None) -> Row:
    """A dense row from a new array. Raises `DistributionError` for one that is not valid."""
    maxima = block_maxima(scores)
    largest = check(scores, maxima)
    row = Row(None, frozen(scores), vocab_size)
    _LARGEST.put(row, largest)
    _MAXIMA.put(row, maxima)
    return row


def scaled(row: Row, factor: float, *, complete: bool) -> Row:
    """All scores multiplied by a factor; in a complete row less the largest, where precision would be lost."""
    if complete and _loses_precision(row, factor):
        with np.errstate(over="ignore"):
            scores = (row.scores - row.max_score) * factor
        return Row(None, frozen(scores), row.vocab_size) if row.ids is None else listed(row.ids, scores, row.vocab_size)
    if row.ids is not None:
        return Row(row.ids, frozen(row.values * factor), row.vocab_size, 1.0, (ref(row), factor))
    result = Row(None, row.values, row.vocab_size, row.scale * factor, (ref(row), factor))
    _LARGEST.put(result, row.largest)
    _ORDERED_BY.put(result, row.ordered_by)
    least, size = _LEAST.known(row), _SUPPORT_SIZE.known(row)
    if least is not None:
        _LEAST.put(result, least)
    if size is not None:
        _SUPPORT_SIZE.put(result, size)
    return result


def _loses_precision(row: Row, factor: float) -> bool:
    """Whether scores times ``factor`` lose the differences between them, or overflow."""
    if abs(row.max_score) > _OFFSET:
        return True
    scale = row.scale * factor
    if scale <= 1.0 or (row.values.dtype == np.float32 and scale < 1e250):
        return False  # nothing grows, or a float32 grows within the range of a float64
    furthest = _SCALED / scale
    if row.least > -math.inf:
        return row.largest > furthest or row.least < -furthest
    return row.largest > furthest or int(np.count_nonzero(row.values >= -furthest)) < row.support_size


def biased(row: Row, ids: Ids, values: Floats) -> Row:
    """A row with ``values`` added to the scores of these tokens, after a large offset is subtracted from all."""
    if abs(row.max_score) > _OFFSET:
        row = rescored(row, row.scores - row.max_score)
    return rescored(row, added(row, ids, values))


def added(row: Row, ids: Ids, values: NDArray[np.floating[Any]]) -> Floats:
    """float64[n], the scores of a row after ``values`` were added to those of these tokens, aligned with it.

    A token that is not in a list keeps probability 0; one that is named twice gets both.
    """
    scores = row.values.astype(np.float64)
    if row.scale != 1.0:
        scores *= row.scale
    row.check_ids(ids)
    if row.ids is None:
        np.add.at(scores, ids, values)
    else:
        where, found = row.places_of(ids)
        np.add.at(scores, where[found], values[found])
    return scores
