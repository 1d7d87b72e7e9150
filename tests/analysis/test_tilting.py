"""Reward tilting and best-of-n against brute force."""

from __future__ import annotations

import math
from decimal import Context, Decimal, localcontext
from itertools import combinations, product

import numpy as np
import pytest

from decodekit import ParameterError
from decodekit.analysis.texts.tilted_samples import best_of_k_reward, reward_frontier, tilted_samples
from decodekit.analysis.texts.tilting import best_of_n_kl, best_of_n_law, tilted_law
from tests.analysis.whole_texts import every_text
from tests.search.tables import plain

TEXTS = every_text(plain)
P = np.array(list(TEXTS.values()))
LOGP = np.log(P)
REWARD = np.array([2.0 * ids.count(0) - ids.count(2) for ids in TEXTS])  # with many ties
UNTIED = REWARD + np.random.default_rng(3).uniform(0, 0.5, len(P))


@pytest.mark.parametrize("beta", [0.01, 0.5, 2.0, 1e6])
def test_the_tilted_law_is_p_times_the_exponential_of_the_reward(beta: float) -> None:
    found = tilted_law(LOGP, REWARD, beta)
    weights = P * np.exp((REWARD - REWARD.max()) / beta)
    q = weights / weights.sum()
    np.testing.assert_allclose(np.exp(found.logprobs), q, atol=1e-14)
    assert found.reward == pytest.approx(q @ REWARD) and found.kl == pytest.approx(
        sum(x * math.log(x / y) for x, y in zip(q, P, strict=True) if x > 0), abs=1e-12
    )


@pytest.mark.parametrize("n", [1, 2, 3])
def test_best_of_n_is_the_first_of_the_best_of_all_tuples(n: int) -> None:
    p, reward = np.array([0.1, 0.25, 0.3, 0.2, 0.15]), np.array([1.0, 0.0, 1.0, 2.0, 0.0])
    exact = np.zeros(5)
    for drawn in product(range(5), repeat=n):
        exact[max(drawn, key=lambda i: reward[i])] += math.prod(p[i] for i in drawn)
    np.testing.assert_allclose(np.exp(best_of_n_law(np.log(p), reward, n).logprobs), exact, atol=1e-14)


@pytest.mark.parametrize("n", [1, 2, 1000, 2**31])
@pytest.mark.parametrize("place", range(4))
def test_rare_texts_keep_their_probability(n: int, place: int) -> None:
    """Against 120 digits; the probabilities of texts of a few hundred tokens, and none, at every rank of the reward."""
    logs = [-900.0, -41.4, math.log(0.4), -3e-8, -math.inf]
    logp = np.array([logs[(i + place) % 4] for i in range(4)] + [-math.inf])
    logp[logp == -3e-8] = math.log1p(-0.4 - math.exp(-41.4))
    reward = np.array([0.0, 1.0, 2.0, 3.0, 9.0])
    found = best_of_n_law(logp, reward, n).logprobs
    with localcontext(Context(prec=1200, Emin=-(10**17), Emax=10**17)):
        p = [Decimal(x).exp() if x > -math.inf else Decimal(0) for x in logp]
        total, below, exact = sum(p), Decimal(0), []
        for x in p:
            share = ((below + x) / total) ** n - (below / total) ** n if n < 2**20 else None
            exact.append(share)
            below += x
        for x, share in zip(found, exact, strict=True):
            if share is None:
                continue
            wanted = float(share.ln()) if share > 0 else -math.inf
            assert x == pytest.approx(wanted, rel=1e-12, abs=1e-13)
    assert found[4] == -math.inf and np.exp(found).sum() == pytest.approx(1.0, abs=1e-12)


def test_a_rare_best_text_after_very_many_draws() -> None:
    found = best_of_n_law([math.log1p(-1e-14), math.log(1e-14)], [0.0, 1.0], 2**31).logprobs
    assert math.exp(found[1]) == pytest.approx(-math.expm1(2**31 * math.log1p(-1e-14)), rel=1e-12)


def test_the_closed_form_is_a_bound_and_no_law_beats_tilting() -> None:
    for n in (1, 2, 4, 16, 256):
        for reward in (REWARD, UNTIED):
            best = best_of_n_law(LOGP, reward, n)
            assert best.kl <= best_of_n_kl(n) + 1e-12
            beta = _beta_for(reward, best.kl)
            assert tilted_law(LOGP, reward, beta).reward >= best.reward - 1e-9


def _beta_for(reward: np.ndarray, kl: float) -> float:
    """The beta whose tilted law is as far from p."""
    low, high = 1e-3, 1e6
    for _ in range(200):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if tilted_law(LOGP, reward, middle).kl > kl else (low, middle)
    return low


def test_without_ties_and_with_many_texts_the_closed_form_is_the_divergence() -> None:
    size = 200_000
    for n in (2, 8, 64):
        found = best_of_n_law(np.full(size, -math.log(size)), np.arange(size), n)
        assert found.kl == pytest.approx(best_of_n_kl(n), abs=1e-4)


@pytest.mark.parametrize("k", [1, 2, 4, 7])
def test_best_of_k_of_samples_is_the_mean_over_all_choices(k: int) -> None:
    rewards = [0.3, -1.0, 2.0, 2.0, 0.9, 5.0, -3.0]
    exact = np.mean([max(chosen) for chosen in combinations(rewards, k)])
    assert best_of_k_reward(rewards, k).value == pytest.approx(exact)
    left = [best_of_k_reward(rewards[:i] + rewards[i + 1 :], k).value for i in range(7)] if k < 7 else []
    error = math.sqrt(6 / 7 * sum((x - np.mean(left)) ** 2 for x in left)) if left else math.nan
    assert best_of_k_reward(rewards, k).error == pytest.approx(error, nan_ok=True)


def test_the_frontier_from_samples_covers_the_exact_one() -> None:
    """200 repeats of 400 texts: 95 % intervals of reward and divergence cover 88 % at least (p below 1e-3)."""
    rng = np.random.default_rng(5)
    soft, hard = tilted_law(LOGP, REWARD, 3.0), tilted_law(LOGP, REWARD, 1.5)
    best = [best_of_n_law(LOGP, REWARD, n) for n in (2, 8)]
    covered = np.zeros(6)
    for _ in range(200):
        rewards = REWARD[rng.choice(len(P), size=400, p=P / P.sum())]
        points = reward_frontier(rewards, betas=[3.0, 1.5], ns=[2, 8])
        pairs = [(points[0].reward, soft.reward), (points[0].kl, soft.kl), (points[1].reward, hard.reward)]
        pairs += [(points[1].kl, hard.kl), (points[2].reward, best[0].reward), (points[3].reward, best[1].reward)]
        covered += [abs(found.value - exact) <= 1.96 * found.error for found, exact in pairs]
    assert (covered / 200 >= 0.88).all(), covered / 200
    assert [each.kl_is_bound for each in points] == [False, False, True, True]
    assert points[3].kl.value == best_of_n_kl(8) >= best[1].kl


def test_a_few_texts_with_all_the_weight_are_no_overflow() -> None:
    found = tilted_samples([0.0, 1.0, 1000.0], 1e-3)
    assert found.effective_size == 1.0 and math.isfinite(found.reward.value) and math.isfinite(found.kl.value)
    same = tilted_samples([2.0] * 5, 0.1)
    assert (same.reward.value, same.kl.value) == (pytest.approx(2.0), pytest.approx(0.0, abs=1e-12))


def test_wrong_numbers_are_named() -> None:
    with pytest.raises(ParameterError, match="give betas, ns or both"):
        reward_frontier([1.0, 2.0])
    with pytest.raises(ParameterError, match=r"beta, in nats .* is a number above 0"):
        reward_frontier([1.0, 2.0], betas=[0.0])
    with pytest.raises(ParameterError, match="n must be an integer from 1 to 2"):
        reward_frontier([1.0, 2.0], ns=[3])
    with pytest.raises(ParameterError, match="finite numbers, at least 2"):
        reward_frontier([1.0, math.nan], betas=[1.0])
    with pytest.raises(ParameterError, match=r"sum to 0\.5"):
        tilted_law([math.log(0.5)], [1.0], 1.0)
    with pytest.raises(ParameterError, match="sum to"):
        tilted_law([math.inf, 0.0], [1.0, 2.0], 1.0)
    for beta in ("1", None, True, math.nan):
        with pytest.raises(ParameterError, match=r"beta, in nats .* is a number above 0"):
            tilted_law([0.0], [1.0], beta)  # type: ignore[arg-type]
    for rewards in (["a"], [[1.0], [2.0, 3.0]], None):
        with pytest.raises(ParameterError, match=r"rewards .* a list of"):
            tilted_law([0.0], rewards, 1.0)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="logprobs is a list"):
        tilted_law(["a"], [1.0], 1.0)  # type: ignore[list-item]


def test_the_jackknife_takes_the_bias_of_tilted_samples_away() -> None:
    """1,500 repeats of 40 texts: the means within 4 of their own errors (p below 1e-4), the plain ones beyond."""
    rng, exact = np.random.default_rng(8), tilted_law(LOGP, REWARD, 2.0)
    found, plain_kl, plain_reward = [], [], []
    for _ in range(1500):
        rewards = REWARD[rng.choice(len(P), size=40, p=P / P.sum())]
        found.append(tilted_samples(rewards, 2.0))
        weights = np.exp(rewards / 2.0)
        plain_reward.append(weights @ rewards / weights.sum())
        plain_kl.append(plain_reward[-1] / 2.0 - math.log(weights.mean()))
    for values, plain_values, true in (
        ([each.kl.value for each in found], plain_kl, exact.kl),
        ([each.reward.value for each in found], plain_reward, exact.reward),
    ):
        error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
        assert abs(np.mean(values) - true) <= 4 * error < abs(np.mean(plain_values) - true)
