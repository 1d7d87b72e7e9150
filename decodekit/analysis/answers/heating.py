"""What temperature does to a distribution: it scales the scores. It keeps their order, and it adds no noise.

The grain of truth in "temperature is noise": a token drawn at temperature T is the one with the largest score plus T
times a Gumbel number. A lower temperature is less noise in the draw; there is none in the distribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from decodekit.distribution import Distribution
from decodekit.draw.context import Context
from decodekit.draw.randomness import Randomness
from decodekit.draw.samplers import multinomial
from decodekit.draw.whole import is_number, whole
from decodekit.errors import ParameterError
from decodekit.types import Floats, Ids

__all__ = ["TemperatureFacts", "temperature_facts"]


@dataclass(frozen=True, slots=True, eq=False)
class TemperatureFacts:
    """One distribution at several temperatures, in the order that was given.

    Args:
        entropies: float64[m], in nats: they rise with the temperature.
        same_order: whether the order of all tokens is that of the model at every temperature.
        draws: how many tokens were drawn at each temperature.
        other_draws: int64[m], how many of them are not the token with the largest ``score + T * noise``: 0, up to ties
            by rounding.
    """

    entropies: Floats
    same_order: bool
    draws: int
    other_draws: Ids


def temperature_facts(
    dist: Distribution, temperatures: Sequence[float], *, draws: int = 100, seed: int = 0
) -> TemperatureFacts:
    """Scale a distribution, and draw from it, at each temperature with the same noise.

    Args:
        dist: wholly disclosed.
        temperatures: positive and finite, at least one.
        draws: how many tokens to draw at each.
        seed: of the noise.

    Raises:
        ParameterError: no temperatures, or one out of range.
        Undisclosed: the distribution has a hidden tail.
    """
    dist.require_complete("the order of all tokens")
    numbers = all(is_number(each) and 0 < each < np.inf for each in temperatures)
    if len(temperatures) == 0 or not numbers:
        raise ParameterError(f"temperatures are positive numbers, at least one, not {list(temperatures)}")
    count, source = whole(draws, "draws", 0, 1_000_000), Randomness(seed)
    ids = dist.support()
    scores, scaled = dist.scores_of(ids), [dist.scaled(1 / each) for each in temperatures]
    other = np.zeros(len(scaled), dtype=np.int64)
    for step in range(count):
        noise = source.gumbel(ids, step=step)
        for at, (law, temperature) in enumerate(zip(scaled, temperatures, strict=True)):
            drawn = multinomial(law, Context(), source.at(step)).token_id
            other[at] += drawn != int(ids[np.argmax(scores + temperature * noise)])
    return TemperatureFacts(
        np.array([each.entropy for each in scaled]),
        all(np.array_equal(each.order, dist.order) for each in scaled),
        count,
        other,
    )
