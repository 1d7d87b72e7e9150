"""The detectors of SynthID-Text: plain and weighted mean with their p-values, and the Bayesian score."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

import decodekit
from decodekit import ParameterError
from decodekit_watermark.tails import log_binomial_tail, log_weighted_tail

from .test_synthid import synthid
from .texts import TABLE

IDS = np.random.default_rng(0).integers(0, 1000, 60).tolist()


def layers(key: int, count: int = 30) -> Any:
    keys = np.random.default_rng(key).integers(1, 2**40, count).tolist()
    return decodekit.processor("synthid", synthid=5, key=SecretStr(",".join(map(str, keys))))


def test_the_weighted_mean_is_that_of_the_published_code() -> None:
    """Golden values of google-deepmind/synthid-text, `weighted_mean_score`, on the bits of transformers' processor."""
    mark = synthid(skip_first=True)
    assert mark.detect(IDS).statistic == pytest.approx(0.47619047619047616, abs=1e-12)
    assert mark.detect(IDS, weights="falling").statistic == pytest.approx(0.4725378787878788, abs=1e-12)
    assert mark.detect(IDS, weights=range(1, 10)).statistic == pytest.approx(0.4797619047619048, abs=1e-12)
    assert mark.detect(IDS, weights=[3.0] * 9).log_p_value == mark.detect(IDS).log_p_value
    assert (mark.detect([], weights="falling").scored, mark.detect([], weights="falling").p_value) == (0, 1.0)


def test_the_bayesian_score_is_that_of_transformers() -> None:
    """Golden value of transformers 5.23 `BayesianDetectorModel` in float64, with these parameters."""
    layer = np.arange(9)
    beta, delta = -1.5 + 0.25 * layer, (layer[:, None] - 2 * layer) / 20
    found = synthid(skip_first=True).log_odds(IDS, beta=beta, delta=delta, base_rate=0.3)
    assert 1 / (1 + math.exp(-found)) == pytest.approx(1.0920778663062208e-08, rel=1e-9)
    assert synthid().log_odds([], beta=beta, delta=delta) == 0.0


@pytest.mark.parametrize(("weights", "count"), [((20, 11, 2), 8), ((30, 21, 12, 3), 5), ((5, 3), 60)])
@pytest.mark.parametrize("share", [0.5, 0.4])
def test_the_approximate_tail_is_near_the_exact_one(weights: tuple[int, ...], count: int, share: float) -> None:
    """By enumeration of how many hits each layer has; below and above the mean, and far out."""
    hits = [math.comb(count, k) * share**k * (1 - share) ** (count - k) for k in range(count + 1)]
    law = np.zeros(count * sum(weights) + 1)
    for counts in product(range(count + 1), repeat=len(weights)):
        law[int(np.dot(weights, counts))] += math.prod(hits[k] for k in counts)
    tails = np.cumsum(law[::-1])[::-1]
    for p in (0.9, 0.6, 0.5, 0.3, 0.05, 1e-2, 1e-4):
        total = int(np.argmax(tails <= p))
        found = math.exp(log_weighted_tail(float(total), np.array(weights, dtype=np.float64), count, share))
        assert found == pytest.approx(float(tails[total]), rel=0.2)


def test_the_ends_of_the_approximate_tail() -> None:
    weights = np.array([2.0, 1.0])
    assert log_weighted_tail(0.0, weights, 10, 0.5) == 0.0
    assert log_weighted_tail(30.0, weights, 10, 0.5) == pytest.approx(-20 * math.log(2))
    equal = np.ones(9)
    for hits in (850, 900, 901, 1000, 1500):  # the continuous formula misses half of the probability of a number
        assert log_weighted_tail(hits - 0.5, equal, 200, 0.5) == pytest.approx(
            log_binomial_tail(hits, 1800, 0.5), abs=0.15
        )


def test_at_200_tokens_the_alarms_without_the_mark_are_as_many_as_the_p_value_says() -> None:
    """Of 150 keys 5 % should have p < 0.05, and half p < 0.5; the limits have a probability below 1e-5 (binomial)."""
    p = []
    for key in range(150):
        ids = np.random.default_rng(key).integers(0, 5000, 200).tolist()
        p.append(layers(key, 9).detect(ids, weights="falling").p_value)
    assert sum(each < 0.05 for each in p) <= 22 and 48 <= sum(each < 0.5 for each in p) <= 102 and min(p) > 1e-7


def test_where_there_is_little_choice_falling_weights_find_more() -> None:
    equal, falling = [], []
    for key in range(3):
        mark = layers(key)
        session = decodekit.Session(TABLE, [decodekit.processor("temperature", temperature=0.25), mark], seed=key)
        ids = session.generate([1, 2], max_tokens=150, level="none").token_ids
        equal.append(mark.detect(ids).log_p_value)
        falling.append(mark.detect(ids, weights="falling").log_p_value)
    assert sum(falling) < sum(equal) < -40


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        ({"weights": "linear"}, "weights is 'equal', 'falling', or a number for each layer, not 'linear'"),
        ({"weights": [1, 2]}, "one number above 0 for each of the 9 layers"),
        ({"weights": [0.0] * 9}, "one number above 0"),
        ({"weights": [math.inf] * 9}, "one number above 0"),
        ({"beta": [0] * 8, "delta": np.zeros((9, 9))}, "beta and delta have the shapes"),
        ({"beta": [0] * 9, "delta": np.zeros((1, 9))}, "they are \\(9,\\) and \\(9, 9\\)"),
        ({"beta": [0] * 9, "delta": np.zeros((9, 9)), "base_rate": 1.0}, "base_rate is a probability between 0 and 1"),
    ],
)
def test_what_is_refused(keywords: dict[str, Any], says: str) -> None:
    with pytest.raises(ParameterError, match=says):
        (synthid().log_odds if "beta" in keywords else synthid().detect)(IDS, **keywords)
