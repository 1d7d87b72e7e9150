"""The entropy of a whole continuation against the enumeration of all texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from decodekit import Disclosure, ParameterError, Undisclosed
from decodekit.analysis.texts.entropy import sequence_entropy, sequence_entropy_bounds
from tests.analysis.whole_texts import LENGTH, chained, entropy, every_text
from tests.search import tables
from tests.search.tables import PROMPT, Rows, model, plain


@pytest.mark.parametrize(("chain", "law"), [(None, plain), (chained(), tables.chained)])
def test_the_sum_of_conditional_entropies_estimates_the_entropy_of_the_text(chain: Any, law: Rows) -> None:
    """Each of three values within 5 standard errors: p below 2e-6 in all."""
    texts = every_text(law)
    exact, length = entropy(list(texts.values())), sum(p * len(ids) for ids, p in texts.items())
    found = sequence_entropy(model(), PROMPT, LENGTH, n=2000, seed=3, chain=chain)
    for estimate, value in ((found.entropy, exact), (found.surprisal, exact), (found.tokens, length)):
        assert abs(estimate.value - value) <= 5 * estimate.error
    assert found.entropy.error < found.surprisal.error
    assert abs(found.per_token.value - exact / length) <= 5 * found.per_token.error
    bounds = sequence_entropy_bounds(model(), PROMPT, LENGTH, chain=chain)
    assert bounds.low == bounds.high == pytest.approx(exact, abs=1e-12)


def test_it_is_unbiased_and_its_interval_covers() -> None:
    """80 repeats of 30 texts: the mean within 4 of its own errors; 95 % intervals cover 85 to 100 % (p below 1e-3)."""
    exact = entropy(list(every_text(plain).values()))
    found = [sequence_entropy(model(), PROMPT, LENGTH, n=30, seed=seed).entropy for seed in range(80)]
    values = np.array([each.value for each in found])
    assert abs(values.mean() - exact) <= 4 * values.std(ddof=1) / len(found) ** 0.5
    covered = np.mean([abs(each.value - exact) <= 1.96 * each.error for each in found])
    assert covered >= 0.85


def test_one_text_has_no_error_and_a_partial_distribution_none() -> None:
    assert np.isnan(sequence_entropy(model(), PROMPT, 2, n=1, seed=1).entropy.error)
    with pytest.raises(Undisclosed, match="entropy"):
        sequence_entropy(model(most=Disclosure(top=3)), PROMPT, 2, n=3, seed=1)
    with pytest.raises(ParameterError, match="n must be"):
        sequence_entropy(model(), PROMPT, 2, n=0)
