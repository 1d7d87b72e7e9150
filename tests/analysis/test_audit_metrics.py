"""The numbers of an audit: by hand, by enumeration, and by simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from decodekit import Distribution
from decodekit.analysis.audit.flips import as_many_by_chance, chance_of_flip, draw_both, survival
from decodekit.analysis.audit.metrics import gap_between, tv_bounds
from decodekit.draw.randomness import Randomness

HALVES, SHIFTED = (Distribution.dense(np.log(p)) for p in ([0.5, 0.25, 0.25], [0.25, 0.5, 0.25]))


def test_a_gap_by_hand() -> None:
    gap = gap_between(HALVES, SHIFTED)
    assert not gap.same_bits and gap.mode_moved
    assert gap.largest == pytest.approx(math.log(2))
    assert gap.mean == pytest.approx(2 / 3 * math.log(2))
    assert gap.weighted == pytest.approx(0.75 * math.log(2))
    assert gap.tv == pytest.approx((0.25, 0.25))
    same = gap_between(HALVES, Distribution.dense(np.log([0.5, 0.25, 0.25])))
    assert same.same_bits and same.largest == 0.0
    moved = gap_between(HALVES, Distribution.dense(np.log([0.5, 0.25, 0.25]) + 3.0))
    assert not moved.same_bits and moved.largest < 1e-12  # another offset is no other distribution
    masked = Distribution.dense([0.0, 0.0, -math.inf])
    assert gap_between(Distribution.dense([0.0, 0.0, 0.0]), masked).largest == math.inf


def test_bounds_of_heads_hold_the_total_variation() -> None:
    rng = np.random.default_rng(5)
    for _ in range(40):
        whole = [Distribution.dense(rng.normal(size=12) * 2) for _ in range(2)]
        heads = []
        for each in whole:
            ids, logprobs = each.leading(int(rng.integers(2, 9)))
            heads.append(Distribution.head(ids, logprobs, 12))
        exact = whole[0].tv(whole[1])
        for one, other in (heads, (whole[0], heads[1]), (heads[0], whole[1])):
            low, high = tv_bounds(one, other)
            assert low - 1e-12 <= exact <= high + 1e-12


def test_as_many_flips_by_chance_is_the_enumeration() -> None:
    chances = [0.1, 0.5, 0.03, 0.9, 0.0]
    for least in range(len(chances) + 2):
        total = sum(
            math.prod(p if hit else 1 - p for p, hit in zip(chances, hits, strict=True))
            for hits in itertools.product((0, 1), repeat=len(chances))
            if sum(hits) >= least
        )
        assert as_many_by_chance(least, chances) == pytest.approx(total, abs=1e-12)


def test_the_expected_flips_are_those_of_simulation_and_margins_bound_them() -> None:
    """Two-sided |z| < 4: a right formula fails with a probability of 6e-5; the seeds are fixed."""
    rng, seeds = np.random.default_rng(1), [Randomness(seed) for seed in range(3000)]
    one = Distribution.dense(rng.normal(size=30) * 1.5)
    other = Distribution.dense(one.scores + rng.normal(size=30) * 0.1)
    gap = gap_between(one, other)
    draws = draw_both(one, other, gap, seeds, 0)
    chance = chance_of_flip(one, other, gap)
    assert chance.low == chance.high and 0.01 < chance.low < 0.1
    spread = math.sqrt(len(seeds) * chance.low * (1 - chance.low))
    assert abs(draws.flips - len(seeds) * chance.low) < 4 * spread
    assert draws.known == len(seeds) and draws.flips <= draws.at_risk < len(seeds)


def test_texts_survive_until_their_first_flip() -> None:
    assert survival([[False, True, True], [False, False, False]]) == [1.0, 0.5, 0.5]
    assert survival([[True], [True]]) == [0.0]
    assert survival([[False, None], [False, False]]) is None
    assert survival([[True, None], [False, False]]) == [0.5, 0.5]
