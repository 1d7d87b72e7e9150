"""What an axis showed, in numbers, in a word and in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from decodekit.analysis.audit.flips import Draws, as_many_by_chance, chance_of_flip, draw_both, survival
from decodekit.analysis.audit.material import Rows
from decodekit.analysis.audit.metrics import gap_between
from decodekit.distribution.disclosure import Interval
from decodekit.draw.randomness import Randomness, derive

__all__ = ["FLIPS", "STABLE_TV", "Measured", "Word", "measure", "word_of"]

Word = Literal[
    "exact", "exact as shown", "numerically stable", "sampling-stable", "unstable", "undecided", "not tested"
]

STABLE_TV: Final = 1e-4
"""Numerically stable: no total variation reaches this."""
FLIPS: Final = 0.01
"""Sampling-stable: fewer of the draws than this give another token, as counted and as expected."""
_SEEDS = 8  # draws at each place


@dataclass(frozen=True, slots=True)
class Measured:
    """Two schedules compared, place by place.

    Args:
        places: how many answers were compared.
        equal: how many are equal to the last bit, as far as they are shown.
        largest: the largest ``|dlogp|``, in nats.
        mean: the mean ``|dlogp|`` over tokens, then over places, in nats.
        weighted: ``sum(p * |dlogp|)``, its mean over places, in nats.
        tv_mean, tv_max: bounds on the total variation, its mean and its maximum over places.
        mode_flips: at how many places another token is the most likely one.
        modes: at how many places that is known.
        draws: how many draws were compared, of the same noise; those that hidden tokens could decide are left out.
        flips: how many gave another token.
        expected: bounds on the number of flips that the two distributions let expect, over all seeds.
        by_chance: the probability of at least as many flips as were counted; None where it is not known exactly.
        at_risk: how many draws have a margin that the ``|dlogp|`` of their place could overcome.
        survival: the share of freely running texts that are the same after 1, 2, ... tokens; None where not decided.
    """

    places: int
    equal: int
    largest: float
    mean: float
    weighted: float
    tv_mean: Interval
    tv_max: Interval
    mode_flips: int
    modes: int
    draws: int
    flips: int
    expected: Interval
    by_chance: float | None
    at_risk: int
    survival: tuple[float, ...] | None


def measure(reference: Rows, other: Rows, seed: int) -> Measured:
    """Compare the places that both have.

    Args:
        reference: answers on the usual schedule.
        other: answers to the same questions on another one.
        seed: that of the texts.

    Raises:
        ParameterError: the vocabularies have different sizes.
    """
    places = sorted(reference.keys() & other.keys())
    gaps, draws, chances = [], list[Draws](), list[Interval]()
    for i, at in places:
        one, two = reference[i, at], other[i, at]
        noises = [Randomness(seed, i), *(Randomness(derive(seed, "audit", k), i) for k in range(1, _SEEDS))]
        gap = gap_between(one, two)
        gaps.append(gap)
        chances.append(chance_of_flip(one, two, gap))
        draws.append(draw_both(one, two, gap, noises, at))
    count, flips, known = len(places), sum(each.flips for each in draws), sum(each.known for each in draws)
    expected = Interval(
        sum(chance.low * draw.known for chance, draw in zip(chances, draws, strict=True)),
        sum(chance.high * draw.known for chance, draw in zip(chances, draws, strict=True)),
    )
    exact = all(chance.low == chance.high for chance in chances) and known == _SEEDS * count
    modes = [gap.mode_moved for gap in gaps if gap.mode_moved is not None]
    return Measured(
        places=count,
        equal=sum(gap.same_bits for gap in gaps),
        largest=max(gap.largest for gap in gaps),
        mean=sum(gap.mean for gap in gaps) / count,
        weighted=sum(gap.weighted for gap in gaps) / count,
        tv_mean=Interval(sum(gap.tv.low for gap in gaps) / count, sum(gap.tv.high for gap in gaps) / count),
        tv_max=Interval(max(gap.tv.low for gap in gaps), max(gap.tv.high for gap in gaps)),
        mode_flips=sum(modes),
        modes=len(modes),
        draws=known,
        flips=flips,
        expected=expected,
        by_chance=as_many_by_chance(flips, [chance.low for chance in chances] * _SEEDS) if exact else None,
        at_risk=sum(each.at_risk for each in draws),
        survival=_survival(places, draws),
    )


def _survival(places: Sequence[tuple[int, int]], draws: Sequence[Draws]) -> tuple[float, ...] | None:
    """Of the texts that were compared from their first token on, without a gap."""
    texts: dict[int, list[bool | None]] = {}
    for (i, at), draw in zip(places, draws, strict=True):
        own = texts.setdefault(i, [])
        if len(own) != at:
            return None
        own.append(draw.own)
    shares = survival(list(texts.values()))
    return None if shares is None else tuple(shares)


def word_of(measured: Measured) -> Word:
    """The verdict on an axis that was tested."""
    if measured.equal == measured.places:
        return "exact" if measured.tv_max.high == 0 else "exact as shown"
    if measured.tv_max.high < STABLE_TV:
        return "numerically stable"
    if not measured.draws:  # nothing decides a draw, and the bounds are too wide
        return "unstable" if measured.tv_mean.low >= FLIPS else "undecided"
    many = FLIPS * measured.draws
    if max(measured.flips, measured.expected.low) >= many:
        return "unstable"
    return "sampling-stable" if measured.expected.high < many else "undecided"
