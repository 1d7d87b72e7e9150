"""Means and pass@k against closed forms, and the coverage of intervals in simulation."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from decodekit import ParameterError
from decodekit.analysis.numbers.statistics import mean, paired_difference, pass_at_k, pass_at_k_over, student_t


@pytest.mark.parametrize(("n", "k"), [(1, 1), (5, 2), (7, 3), (8, 8)])
def test_pass_at_k_is_the_share_of_the_subsets_with_a_correct_sample(n: int, k: int) -> None:
    for c in range(n + 1):
        subsets = list(combinations([True] * c + [False] * (n - c), k))
        assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, subsets)) / len(subsets), abs=1e-14)


def test_pass_at_k_is_unbiased_and_stays_exact_for_many_samples() -> None:
    n, k, p = 20, 10, 0.05
    counts = [math.comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)]
    expected = sum(share * pass_at_k(n, c, k) for c, share in enumerate(counts))
    assert expected == pytest.approx(1 - (1 - p) ** k, abs=1e-13)
    exact = 1 - math.comb(9_000, 500) / math.comb(10_000, 500)
    assert pass_at_k(10_000, 1_000, 500) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize(("n", "c", "k"), [(4, 5, 1), (4, 2, 5), (0, 0, 1), (4, -1, 1), (4, 2, 0)])
def test_pass_at_k_refuses_what_cannot_be(n: int, c: int, k: int) -> None:
    with pytest.raises(ParameterError):
        pass_at_k(n, c, k)


def test_quantiles_of_student_are_those_of_closed_forms() -> None:
    for p in (0.6, 0.9, 0.975, 0.9995):
        assert student_t(1, p) == pytest.approx(math.tan(math.pi * (p - 0.5)), rel=1e-9)
        assert student_t(2, p) == pytest.approx((2 * p - 1) * math.sqrt(2 / (4 * p * (1 - p))), rel=1e-9)
    assert [round(student_t(d, 0.975), 4) for d in (3, 4, 9, 30, 10**6)] == [3.1824, 2.7764, 2.2622, 2.0423, 1.96]


def test_clusters_of_one_give_the_textbook_error_and_copies_add_nothing() -> None:
    values = np.array([0.0, 1.0, 1.0, 3.0])
    plain = mean(values)
    assert (plain.value, plain.error) == pytest.approx((1.25, float(values.std(ddof=1)) / 2))
    copied = mean(np.repeat(values, 5), np.repeat(np.arange(4), 5).tolist())
    assert (copied.value, copied.error, copied.low) == pytest.approx((plain.value, plain.error, plain.low))
    assert (copied.count, copied.clusters) == (20, 4)


def test_one_cluster_says_nothing_about_others() -> None:
    alone = mean([0.0, 1.0], ["a", "a"])
    assert math.isnan(alone.error) and (alone.low, alone.high) == (-math.inf, math.inf)


@pytest.mark.parametrize("values", [[], [math.nan], [math.inf, 1.0], [[1.0]]])
def test_what_has_no_mean_is_refused(values: list[float]) -> None:
    with pytest.raises(ParameterError):
        mean(values)
    with pytest.raises(ParameterError):
        mean([1.0, 2.0], ["a"])
    with pytest.raises(ParameterError):
        paired_difference([1.0], [1.0, 2.0])


def test_clustered_intervals_cover_the_truth_in_95_percent_of_the_cases_and_others_do_not() -> None:
    """2,000 runs: the error of a coverage of 0.95 is 0.005, so that 2 % are four of them."""
    rng, runs, prompts, samples = np.random.default_rng(1), 2_000, 30, 10
    chances = rng.beta(0.8, 0.8, (runs, prompts))  # prompts differ a lot: the truth is 0.5
    right = rng.random((runs, prompts, samples)) < chances[..., np.newaxis]
    clusters = np.repeat(np.arange(prompts), samples).tolist()
    found = [mean(run.ravel(), clusters) for run in right]
    ignoring = [mean(run.ravel()) for run in right]
    covered = np.mean([each.low <= 0.5 <= each.high for each in found])
    assert abs(covered - 0.95) <= 0.02
    assert np.mean([each.low <= 0.5 <= each.high for each in ignoring]) < 0.8


def test_intervals_of_pass_at_k_cover_it() -> None:
    """As above; P(pass at 2) is 1 - E[(1 - p)^2] = 2/3 for p uniform."""
    rng, runs, prompts, n = np.random.default_rng(2), 2_000, 40, 8
    counts = rng.binomial(n, rng.random((runs, prompts)))
    found = [pass_at_k_over([(n, int(c)) for c in run], 2) for run in counts]
    assert abs(np.mean([each.low <= 2 / 3 <= each.high for each in found]) - 0.95) <= 0.02


def test_pairs_cancel_what_both_sides_share() -> None:
    rng = np.random.default_rng(3)
    shared = rng.normal(0, 10, 200)
    one, other = shared + rng.normal(0, 0.1, 200), shared + 1 + rng.normal(0, 0.1, 200)
    difference = paired_difference(one, other)
    assert difference.low < 1 < difference.high and difference.error < 0.02
