"""All tokens in the order of the race that `multinomial` decides: a sample without replacement, of one noise."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from decodekit.distribution import Distribution, Row
from decodekit.distribution.disclosure import ALL, Disclosure, Undisclosed
from decodekit.distribution.hidden import Hidden
from decodekit.draw.randomness import TOKENS, BoundRandomness
from decodekit.draw.samplers import best_hidden
from decodekit.types import Floats

__all__ = ["race_order"]

_FIRST = 64  # tokens that are put in order at first; eight times as many each time more are wanted

_MOST_NAMED = 128  # ids in one question
_AHEAD = (64, 16, 4)  # places of the race for which hidden tokens are asked for at once


def race_order(dist: Distribution, randomness: BoundRandomness) -> Iterator[int]:
    """The tokens by falling ``score_i + g_i``, ties by rising id; the first is the one that `multinomial` draws.

    Removing tokens does not change the order of the others, so the first token of any subset is the draw from the
    distribution on that subset (Kool, van Hoof and Welling 2019, arXiv 1903.06059).

    Args:
        dist: what is drawn from; tokens without probability do not take part.
        randomness: the noise of the step.

    Raises:
        Undisclosed: a hidden token could come next; it is named, when the vocabulary's size is known.
    """
    row, hidden, noise = dist.row, dist.hidden, randomness.within(TOKENS)
    ids = row.support()
    gumbel = noise.gumbel(ids) if row.ids is not None else noise.gumbel(range(len(row)))[ids]
    perturbed = row.scores_of(ids) - row.max_score + gumbel
    furthest = -math.inf if hidden is None else math.inf  # that a hidden token can come
    done = size = 0
    while done < len(ids):
        size = min(8 * size or _FIRST, len(ids))
        least = np.partition(perturbed, len(ids) - size)[len(ids) - size]
        leading = np.flatnonzero(perturbed >= least)
        leading = leading[np.lexsort((ids[leading], -perturbed[leading]))]
        for token_id, score in zip(ids[leading[done:]].tolist(), perturbed[leading[done:]].tolist(), strict=True):
            if hidden is not None and score <= furthest:
                try:
                    furthest = best_hidden(row, hidden, noise, score)
                except Undisclosed as error:
                    raise _named_ahead(error, row, hidden, noise, np.sort(perturbed[perturbed <= score])) from None
            yield token_id
        done = len(leading)
    if hidden is not None:
        raise _all_refused(row, hidden, noise)


def _named_ahead(error: Undisclosed, row: Row, hidden: Hidden, noise: BoundRandomness, coming: Floats) -> Undisclosed:
    """An error that also names the hidden tokens that could come a few places later: they would be asked for next."""
    for places in _AHEAD:
        try:
            best_hidden(row, hidden, noise, float(coming[-min(places, len(coming))]))
        except Undisclosed as more:
            if len(more.need.ids) <= _MOST_NAMED:
                return more
    return error


def _all_refused(row: Row, hidden: Hidden, noise: BoundRandomness) -> Undisclosed:
    """The error where the race goes on behind the last disclosed token."""
    question = "a race in which all disclosed tokens are refused"
    if row.vocab_size is None:
        return Undisclosed(ALL, question)
    shown = np.arange(0) if row.ids is None else row.ids
    possible = np.arange(row.vocab_size) if hidden.allowed is None else hidden.allowed.nonzero()[0]
    unseen = np.setdiff1d(possible, shown)
    furthest = unseen[np.argsort(noise.all_words(row.vocab_size)[unseen])[-_MOST_NAMED:]]
    return Undisclosed(Disclosure(max(len(row), hidden.disclosed), tuple(furthest.tolist())), question)
