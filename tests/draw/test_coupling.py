"""How often two draws with one seed differ, against its frequency."""

from __future__ import annotations

import math

import numpy as np
import pytest

from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import Undisclosed
from decodekit.draw.context import Context
from decodekit.draw.coupling import chance_of_change
from decodekit.draw.randomness import Randomness
from decodekit.draw.samplers import CORE_SAMPLERS

ROW = np.random.default_rng(3).normal(0, 2, 8)
LAWS = {
    "itself": Distribution.dense(ROW),
    "hotter": Distribution.dense(ROW / 2),
    "cut": Distribution.dense(ROW).top(3),
    "other": Distribution.dense(np.random.default_rng(4).normal(0, 2, 8)),
}


@pytest.mark.parametrize("samplers", [("multinomial",) * 2, ("inverse_cdf",) * 2, ("multinomial", "greedy"),
                                      ("multinomial", "inverse_cdf"), ("greedy",) * 2])  # fmt: skip
@pytest.mark.parametrize("name", list(LAWS))
def test_the_chance_of_a_change_is_its_frequency_over_seeds(samplers: tuple[str, str], name: str) -> None:
    """Two-sided, 4.5 standard errors: a right one fails with p = 7e-6 for each of the 20 cases."""
    count, laws = 2000, (LAWS["itself"], LAWS[name])
    chance = chance_of_change((samplers[0], laws[0]), (samplers[1], laws[1]))
    changed = 0
    for seed in range(count):
        noise = Randomness(seed).at(0)
        one, other = (CORE_SAMPLERS[each](law, Context(), noise) for each, law in zip(samplers, laws, strict=True))
        changed += one.token_id != other.token_id
    assert abs(changed / count - chance) <= 4.5 * math.sqrt(chance * (1 - chance) / count) + 1e-9


@pytest.mark.parametrize("name", list(LAWS))
def test_the_chance_of_two_races_lies_between_its_bounds(name: str) -> None:
    tv = LAWS["itself"].tv(LAWS[name])
    chance = chance_of_change(("multinomial", LAWS["itself"]), ("multinomial", LAWS[name]))
    assert tv - 1e-12 <= chance <= 2 * tv / (1 + tv) + 1e-12


def test_undisclosed_tokens_are_no_zeros() -> None:
    head = Distribution.head([1, 2], [-1.0, -1.2], 8)
    with pytest.raises(Undisclosed):
        chance_of_change(("multinomial", head), ("multinomial", LAWS["itself"]))
