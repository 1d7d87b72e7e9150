"""The distribution of a token without its past: exact, bounded, and estimated."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from decodekit import Disclosure, ParameterError, Session, Undisclosed
from decodekit.analysis.texts.law import TextLaw
from decodekit.analysis.texts.marginals import marginal, sampled_marginal
from decodekit.analysis.texts.samples import sampled_beginnings
from tests.analysis.whole_texts import chained, entropy, every_text
from tests.search import tables
from tests.search.tables import END, PROMPT, Rows, model, plain

AT = 2


def exact_marginal(law: Rows) -> tuple[np.ndarray, float]:
    shares, ended = np.zeros(END + 1), 0.0
    for ids, p in every_text(law, AT + 1).items():
        if len(ids) > AT:
            shares[ids[AT]] += p
        else:
            ended += p
    return shares, ended


@pytest.mark.parametrize(("chain", "law"), [(None, plain), (chained(), tables.chained)])
def test_it_is_the_mixture_of_the_conditional_distributions(chain: Any, law: Rows) -> None:
    found, (shares, ended) = marginal(model(), PROMPT, AT, chain=chain), exact_marginal(law)
    np.testing.assert_allclose(found.probabilities, shares, atol=1e-14)
    assert (found.ended, found.missing) == (pytest.approx(ended, abs=1e-14), 0.0)


def test_conditional_and_marginal_differ_by_the_mutual_information() -> None:
    """The mean divergence of the conditional distributions from the marginal, which is one more way to compute it."""
    found = marginal(model(), PROMPT, AT)
    every, total = np.append(found.probabilities, found.ended), 0.0
    for ids, p in every_text(plain, AT).items():
        row = np.array([0, 0, 0, 0, 1.0]) if ids[-1] == END else np.append(plain(ids), 0)
        total += p * sum(q * math.log(q / m) for q, m in zip(row, every, strict=True) if q > 0)
    assert total > 0.1 and found.information == pytest.approx(total, abs=1e-12)
    assert found.entropy == pytest.approx(entropy(every), abs=1e-12)


def test_where_the_past_does_not_matter_nothing_is_learnt_from_it() -> None:
    row = np.array([1.0, 0.3, -0.5, -math.inf])
    found = marginal(model(lambda _: row), PROMPT, 3)
    np.testing.assert_allclose(found.probabilities, tables.probabilities(row), atol=1e-14)
    assert found.information == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("options", [{"width": 1}, {"width": 3}, {"most": Disclosure(top=2)}])
def test_what_was_left_out_bounds_every_probability_and_the_distance(options: dict[str, Any]) -> None:
    width = options.pop("width", 1000)
    found, (shares, ended) = marginal(model(**options), PROMPT, AT, width=width), exact_marginal(plain)
    low, true = np.append(found.probabilities, found.ended), np.append(shares, ended)
    assert 0 < found.missing < 1 and (low <= true + 1e-14).all() and (true <= low + found.missing + 1e-14).all()
    assert low.sum() + found.missing == pytest.approx(1, abs=1e-12)
    assert 0.5 * np.abs(low / (1 - found.missing) - true).sum() <= found.missing
    assert found.information is None and found.entropy is None


def test_sampled_it_agrees_within_its_errors_and_is_better_than_counting() -> None:
    """Five values, each within 5 standard errors: p below 3e-6 in all."""
    found, (shares, ended) = sampled_marginal(model(), PROMPT, AT, n=3000, seed=4), exact_marginal(plain)
    assert (np.abs(found.probabilities - shares) <= 5 * found.errors).all()
    assert abs(found.ended.value - ended) <= 5 * found.ended.error
    assert (found.errors < np.sqrt(shares * (1 - shares) / 3000)).all()
    exact = marginal(model(), PROMPT, AT).conditional_entropy
    assert exact is not None
    assert abs(found.conditional_entropy.value - exact) <= 5 * found.conditional_entropy.error


def test_its_errors_are_as_large_as_the_spread_of_many_estimates() -> None:
    """Over 100 seeds: the spread within 35 % of the stated error (a chi of 99 degrees; p below 1e-5)."""
    many = [sampled_marginal(model(), PROMPT, AT, n=20, seed=seed) for seed in range(100)]
    spread = np.std([each.probabilities for each in many], axis=0, ddof=1)
    stated = np.sqrt(np.mean([each.errors**2 for each in many], axis=0))
    np.testing.assert_allclose(spread, stated, rtol=0.35)


@pytest.mark.parametrize("chain", [None, chained()])
def test_the_sampled_texts_are_those_of_generate(chain: Any) -> None:
    begun = sampled_beginnings(TextLaw(model(), PROMPT, chain=chain), 8, 4, 11)
    with Session(model(), chain) as session:
        for stream, each in enumerate(begun):
            written = session.generate(PROMPT, max_tokens=4, seed=11, stream=stream)
            assert each.ids == written.token_ids


def test_an_estimate_needs_whole_distributions_and_two_texts() -> None:
    with pytest.raises(Undisclosed, match="marginal"):
        sampled_marginal(model(most=Disclosure(top=3)), PROMPT, 0, n=10, seed=1)
    with pytest.raises(ParameterError, match="n must be"):
        sampled_marginal(model(), PROMPT, 1, n=1)
    with pytest.raises(ParameterError, match="position must be"):
        marginal(model(), PROMPT, -1)
