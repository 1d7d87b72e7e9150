"""AWRS by enumeration: over all orders of the race the weight is exactly unbiased, for each token it is drawn with."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest

from decodekit import Distribution, Randomness, Undisclosed
from decodekit.draw.race import race_order
from decodekit.draw.samplers import multinomial
from decodekit.search.first_valid import first_valid
from tests.search.tables import probabilities

CASES = [
    ([0.5, 0.3, 0.15, 0.05], {1, 3}),
    ([0.5, 0.3, 0.15, 0.05], {0, 1, 2, 3}),
    ([0.5, 0.3, 0.15, 0.05], {3}),
    ([0.9, 0.04, 0.03, 0.02, 0.01], {1, 2, 4}),
    ([0.2, 0.2, 0.2, 0.2, 0.2], {0, 4}),
    ([1.0], {0}),
    ([0.6, 0.4], set()),
]


def chance_of(order: tuple[int, ...], p: list[float]) -> float:
    """Of this order of the race: tokens drawn one after the other without replacement."""
    left, chance = 1.0, 1.0
    for token_id in order:
        chance *= p[token_id] / left
        left -= p[token_id]
    return chance


@pytest.mark.parametrize(("p", "valid"), CASES)
def test_over_all_orders_weight_times_token_is_the_law_of_the_valid_tokens(p: list[float], valid: set[int]) -> None:
    mean = dict.fromkeys(range(len(p)), 0.0)
    for order in permutations(range(len(p))):
        found = first_valid(order, p.__getitem__, valid.__contains__, 100)
        if found.token_id is None:
            assert not valid and found.weight == 0
            continue
        assert found.token_id in valid
        mean[found.token_id] += chance_of(order, p) * found.weight
    assert mean == pytest.approx({i: p[i] if i in valid else 0.0 for i in range(len(p))}, abs=1e-15)


def test_the_sibling_rules_would_be_biased() -> None:
    """What the test above can see: the weight without the second check, and with the wrong one of the two values."""
    p, valid = CASES[0]
    z = sum(p[i] for i in valid)
    for follower_counts in (lambda _: True, lambda _: False):
        mean = 0.0
        for order in permutations(range(len(p))):
            at = next(i for i, token_id in enumerate(order) if token_id in valid)
            rest = 1 - sum(p[i] for i in order[:at])
            mean += chance_of(order, p) * (rest if follower_counts(order) else p[order[at]])
        assert abs(mean - z) > 0.05


def test_it_checks_one_token_beyond_the_first_valid_one_and_gives_up_where_it_is_told() -> None:
    asked: list[int] = []

    def refuse(token_id: int) -> bool:
        asked.append(token_id)
        return False

    p = [0.4, 0.3, 0.2, 0.1]
    found = first_valid(range(4), p.__getitem__, refuse, 2)
    assert asked == [0, 1] and found.token_id is None and found.unchecked == pytest.approx(0.3)
    asked.clear()
    first_valid(range(4), p.__getitem__, lambda i: asked.append(i) or i > 0, 9)
    assert asked == [0, 1, 2]


@pytest.mark.parametrize("kind", ["dense", "masked", "listed"])
def test_the_race_is_the_draw_of_each_subset(kind: str) -> None:
    rng = np.random.default_rng(3)
    for seed in range(40):
        row = rng.normal(0, 2, 200)
        if kind == "masked":
            row[::3] = -math.inf
        dist = Distribution.dense(row)
        dist = dist.top(90) if kind == "listed" else dist
        noise = Randomness(seed).at(3)
        order = list(race_order(dist, noise))
        assert sorted(order) == sorted(dist.support().tolist())
        left = dist
        for token_id in order[:5]:
            assert multinomial(left, None, noise).token_id == token_id
            left = left.keep(np.setdiff1d(left.support(), [token_id]))
        assert multinomial(dist.keep(order[70:]), None, noise).token_id == order[70]


def test_the_race_of_a_head_goes_as_far_as_it_is_decided() -> None:
    whole = np.log(probabilities(np.random.default_rng(5).normal(0, 3, 100)))
    shown = np.argsort(-whole)[:40]
    edge = float(whole[shown].min())
    seen = 0
    for seed in range(30):
        noise = Randomness(seed).at(0)
        truth = list(race_order(Distribution.dense(whole), noise))
        decided: list[int] = []
        with pytest.raises(Undisclosed) as raised:
            decided.extend(race_order(Distribution.head(shown, whole[shown], 100), noise))
        assert decided == truth[: len(decided)]
        seen += len(decided)
        if raised.value.need.ids:  # with those that could come next it goes on
            more = np.union1d(shown, raised.value.need.ids)
            race = race_order(Distribution.head(more, whole[more], 100, max_hidden=edge), noise)
            assert [next(race) for _ in range(len(decided) + 1)] == truth[: len(decided) + 1]
    assert seen > 100
