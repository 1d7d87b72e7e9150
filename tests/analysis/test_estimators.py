"""A ratio of sums and the jackknife."""

from __future__ import annotations

import numpy as np
import pytest

from decodekit import ParameterError
from decodekit.analysis.numbers.estimators import jackknifed, ratio
from decodekit.analysis.numbers.statistics import mean


def test_with_equal_sizes_a_ratio_is_a_mean() -> None:
    values = [1.0, 4.0, 2.5]
    one, other = ratio([3 * value for value in values], [3.0] * 3), mean(values)
    for name in ("value", "error", "low", "high", "count", "clusters"):
        assert getattr(one, name) == pytest.approx(getattr(other, name))


def test_intervals_of_ratios_cover() -> None:
    """1,000 repeats of 30 texts of unequal length: 95 % intervals cover 92 to 97 % (p below 1e-3)."""
    rng, covered = np.random.default_rng(2), 0
    for _ in range(1000):
        sizes = rng.integers(1, 20, size=30)
        found = ratio(2.0 * sizes + rng.normal(size=30) * sizes, sizes)
        covered += found.low <= 2.0 <= found.high
    assert 0.92 <= covered / 1000 <= 0.97


def test_the_jackknife_of_the_plain_variance_is_the_unbiased_one() -> None:
    values = np.random.default_rng(3).normal(size=9)
    left = np.array([np.var(np.delete(values, i)) for i in range(9)])
    assert jackknifed(float(np.var(values)), left, corrected=True).value == pytest.approx(np.var(values, ddof=1))
    kept = jackknifed(float(values.mean()), np.array([np.delete(values, i).mean() for i in range(9)]), corrected=False)
    assert (kept.value, kept.error) == (pytest.approx(values.mean()), pytest.approx(values.std(ddof=1) / 3))


def test_one_text_has_no_error_and_no_token_no_ratio() -> None:
    alone = ratio([6.0], [3])
    assert alone.value == 2.0 and np.isnan(alone.error) and alone.high == np.inf
    for totals, sizes in (([], []), ([0.0], [0])):
        with pytest.raises(ParameterError, match="at least one token"):
            ratio(totals, sizes)
