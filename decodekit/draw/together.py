"""`multinomial` for many lists at once, bit for bit what it draws from each alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from decodekit.distribution import Distribution
from decodekit.distribution.together import sum_lists
from decodekit.draw.choice import Choice, Draw
from decodekit.draw.randomness import TOKENS, BoundRandomness, gumbel_of, words_of_rows

__all__ = ["multinomial_of_lists"]


def multinomial_of_lists(
    dists: Sequence[Distribution | None], noises: Sequence[BoundRandomness]
) -> list[Choice | None]:
    """The choice from each distribution; None where `multinomial` must draw it alone.

    That is a dense one, one with hidden or masked tokens, and one in which two perturbed scores are equal at the top or
    behind it, such as those so far below that no float64 holds the difference.

    Args:
        dists: what to draw from; None for nothing.
        noises: the noise of each step, in the domain of the tokens.
    """
    chosen: list[Choice | None] = [None] * len(dists)
    lists = {i: dist.row for i, dist in enumerate(dists) if dist is not None and _is_plain_list(dist)}
    if len(lists) < 2:
        return chosen
    places, rows = list(lists), list(lists.values())
    sum_lists(rows)  # for the log-probabilities
    counts = [len(row.values) for row in rows]
    each = np.array(counts)
    ids = np.concatenate([row.ids for row in rows if row.ids is not None])
    scores = np.concatenate([row.values for row in rows])
    starts = np.add.accumulate(each) - each
    words = words_of_rows([noises[i] for i in places], counts, ids)
    perturbed = scores - scores[starts].repeat(each) + gumbel_of(words)

    longest = max(counts)
    if longest * len(counts) == len(perturbed):
        race = perturbed.reshape(-1, longest)
    else:
        within = np.arange(longest) < each[:, np.newaxis]
        race = np.full(within.shape, -math.inf)
        race[within] = perturbed
    every = np.arange(len(places))
    first = race.argmax(axis=1)
    best = race[every, first]
    equal = np.count_nonzero(race == best[:, np.newaxis], axis=1) > 1
    race[every, first] = -math.inf
    follower = race.argmax(axis=1)
    second = race[every, follower]
    equal |= (np.count_nonzero(race == second[:, np.newaxis], axis=1) > 1) & (each > 1)

    at = starts + first
    numbers = zip(
        *(places, rows, counts, equal.tolist()),
        *(ids[at].tolist(), scores[at].tolist(), words[at].tolist(), best.tolist()),
        *(second.tolist(), ids[starts + follower].tolist()),
        strict=True,
    )
    for place, row, count, tied, token, score, word, top, next_best, runner_up in numbers:
        if tied:
            continue
        noise = noises[place]
        chosen[place] = Choice(
            token_id=token,
            logprob=row.normalised(score),
            score=top,
            margin=top - next_best,
            runner_up=runner_up if count > 1 else None,
            draw=Draw(TOKENS, noise.stream, noise.step, noise.draw, token, word),
        )
    return chosen


def _is_plain_list(dist: Distribution) -> bool:
    row = dist.row
    return row.ids is not None and dist.hidden is None and bool(row.values[-1] > -math.inf)
