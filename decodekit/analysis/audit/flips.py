"""Tokens that are others with the same noise: counted, and against the number that the distributions let expect."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from decodekit.analysis.audit.material import drawn
from decodekit.analysis.audit.metrics import Gap
from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import Interval
from decodekit.draw.coupling import chance_of_change
from decodekit.draw.randomness import Randomness
from decodekit.types import Floats

__all__ = ["Draws", "as_many_by_chance", "chance_of_flip", "draw_both", "survival"]


@dataclass(frozen=True, slots=True)
class Draws:
    """The same draws from two answers to one question.

    Args:
        known: how many are decided by what is disclosed on both sides.
        flips: how many of these give different tokens.
        at_risk: how many have a margin below twice the largest ``|dlogp|``: only those can differ.
        own: whether the draw that wrote the text gives another token; None where that is not decided.
    """

    known: int
    flips: int
    at_risk: int
    own: bool | None


def chance_of_flip(one: Distribution, other: Distribution, gap: Gap) -> Interval:
    """The probability, over all seeds, that `multinomial` draws different tokens with one seed.

    A point where nothing is undisclosed; otherwise between the total variation ``t`` and ``2 t / (1 + t)`` (Daliri,
    Musco and Suresh 2024, arXiv 2408.07978).
    """
    if gap.same_bits and gap.tv.high == 0:
        return Interval(0.0, 0.0)
    if one.tail is None and other.tail is None:
        chance = chance_of_change(("multinomial", one), ("multinomial", other))
        return Interval(chance, chance)
    return Interval(gap.tv.low, 2 * gap.tv.high / (1 + gap.tv.high))


def draw_both(one: Distribution, other: Distribution, gap: Gap, noises: Sequence[Randomness], step: int) -> Draws:
    """Draw from both with each noise; the first is that of the text."""
    if gap.same_bits and gap.tv.high == 0:
        return Draws(len(noises), 0, 0, False)
    known = flips = at_risk = 0
    own = None
    for place, noise in enumerate(noises):
        left, right = drawn(one, noise, step), drawn(other, noise, step)
        if left is None or right is None:
            continue
        differs = left[0] != right[0]
        known, flips, at_risk = known + 1, flips + differs, at_risk + (left[1] <= 2 * gap.largest)
        own = differs if place == 0 else own
    return Draws(known, flips, at_risk, own)


def as_many_by_chance(flips: int, chances: Sequence[float]) -> float:
    """The probability of at least so many flips, where each draw flips with its own chance, independently.

    Exact: the distribution of the number (Poisson binomial) by convolution, O(flips * draws).
    """
    if flips <= 0:
        return 1.0
    below: Floats = np.zeros(flips)  # the probability of each smaller number
    below[0] = 1.0
    for chance in chances:
        if chance > 0:
            below[1:] = below[1:] * (1 - chance) + below[:-1] * chance
            below[0] *= 1 - chance
    return max(0.0, 1.0 - float(below.sum()))


def survival(texts: Sequence[Sequence[bool | None]]) -> list[float] | None:
    """The share of texts that are the same so far, after each token.

    A text that runs freely parts from its twin at the first token that is another one; until then both follow the same
    prefixes. So the draws along one text say where both would part.

    Args:
        texts: for each text, whether the draw at each token gives another one.

    Returns:
        One share for each number of tokens, from 1 on; None where a draw is not decided before the texts part.
    """
    firsts = []
    for flips in texts:
        first: float = math.inf
        for at, flipped in enumerate(flips):
            if flipped is None:
                return None
            if flipped:
                first = at
                break
        firsts.append(first)
    length = max(map(len, texts), default=0)
    return [sum(first >= end for first in firsts) / len(firsts) for end in range(1, length + 1)]
