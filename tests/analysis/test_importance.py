"""Weighted means and resampling."""

from __future__ import annotations

import math

import numpy as np
import pytest

from decodekit import EmptySupport, ParameterError
from decodekit.analysis.numbers.importance import resampled, self_normalised


def test_intervals_of_weighted_means_cover() -> None:
    """400 repeats, 300 draws of q for a mean under p on 6 points: 95 % intervals cover 91 to 98.5 % (p below 1e-3)."""
    rng = np.random.default_rng(1)
    p, q, values = rng.dirichlet(np.ones(6)), rng.dirichlet(np.full(6, 4.0)), rng.normal(size=6)
    exact, covered = float(p @ values), 0
    for _ in range(400):
        drawn = rng.choice(6, size=300, p=q)
        found = self_normalised(values[drawn], np.log(p[drawn] / q[drawn]) + 700.0)
        covered += abs(found.value - exact) <= 1.96 * found.error
    assert 0.91 <= covered / 400 <= 0.985


def test_equal_weights_are_a_plain_mean() -> None:
    values = [1.0, 2.0, 6.0]
    found = self_normalised(values, [-3.0] * 3)
    assert (found.value, found.effective_size) == (pytest.approx(3.0), pytest.approx(3.0))
    assert found.log_mean_weight == pytest.approx(-3.0)
    assert found.error == pytest.approx(np.std(values) / math.sqrt(3))


def test_a_weight_of_zero_counts_for_the_size_and_not_for_the_mean() -> None:
    found = self_normalised([1.0, math.nan, 3.0], [0.0, -math.inf, 0.0])
    assert (found.value, found.n) == (2.0, 3) and found.log_mean_weight == pytest.approx(math.log(2 / 3))


def test_resampling_gives_each_its_share_rounded() -> None:
    logs = np.log([0.5, 0.21, 0.29])
    for seed in range(20):
        counts = np.bincount(resampled(logs, 10, seed), minlength=3)
        assert counts.sum() == 10 and counts[0] == 5 and counts[1] in (2, 3) and counts[2] in (2, 3)
    mean = np.mean([np.bincount(resampled(logs, 10, seed), minlength=3) for seed in range(2000)], axis=0)
    np.testing.assert_allclose(mean, [5, 2.1, 2.9], atol=5 * math.sqrt(0.09 / 2000))


def test_wrong_weights_are_named() -> None:
    with pytest.raises(ParameterError, match="at least one"):
        self_normalised([], [])
    with pytest.raises(ParameterError, match="one finite value for each of the 2"):
        self_normalised([1.0], [0.0, 0.0])
    with pytest.raises(ParameterError, match="finite or -inf"):
        self_normalised([1.0], [math.nan])
    with pytest.raises(EmptySupport, match="all weights are 0"):
        resampled([-math.inf], 3)
