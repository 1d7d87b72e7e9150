"""The entropy of a random distribution in its two parts, against the exact values of a coin between two rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from decodekit import Disclosure, Distribution, ParameterError, Prefix, Undisclosed
from decodekit.analysis.texts.passes import disagreement, passes_of
from decodekit.distribution.disclosure import CHEAP
from decodekit.testing import TableAdapter
from tests.analysis.whole_texts import entropy

ROWS = np.array([[3.0, 0.0, 0.5, 0.0], [0.0, 1.0, 3.0, 0.0]])
SHARES = np.exp(ROWS) / np.exp(ROWS).sum(axis=1, keepdims=True)
HEADS = 0.3
TOTAL = entropy((1 - HEADS) * SHARES[0] + HEADS * SHARES[1])
MEAN = (1 - HEADS) * entropy(SHARES[0]) + HEADS * entropy(SHARES[1])


class Coin:
    """A model that is one of two by the toss of a coin at each call."""

    def __init__(self, seed: int) -> None:
        self._inner, self._rng = TableAdapter(lambda _: ROWS[0], 4), np.random.default_rng(seed)
        self.info, self.tokenizer = replace(self._inner.info, deterministic=False, stochastic=True), None

    def predict(self, prefixes: Sequence[Prefix], disclose: Any = CHEAP) -> list[Any]:
        return [Distribution.dense(ROWS[int(self._rng.random() < HEADS)]) for _ in prefixes]

    def close(self) -> None: ...


def test_both_parts_cover_the_exact_values_and_the_jackknife_takes_the_bias_away() -> None:
    """400 repeats of 12 passes: means within 4 of their errors (p below 1e-4 each), intervals cover 85 to 99.5 %."""
    found = [disagreement(passes_of(Coin(seed), [0], 12)) for seed in range(400)]
    for name, exact in (("total", TOTAL), ("mean_entropy", MEAN), ("information", TOTAL - MEAN)):
        values = np.array([getattr(each, name).value for each in found])
        errors = np.array([getattr(each, name).error for each in found])
        assert abs(values.mean() - exact) <= 4 * values.std(ddof=1) / 20
        assert 0.85 <= np.mean(np.abs(values - exact) <= 2.2 * errors) <= 0.995
    low = np.array([each.plug_in for each in found])
    assert low.mean() < TOTAL - MEAN - 4 * low.std(ddof=1) / 20


def test_passes_that_agree_have_no_information() -> None:
    found = disagreement(passes_of(TableAdapter(lambda _: ROWS[1], 4), [0], 5))
    assert found.information.value == pytest.approx(0.0, abs=1e-12) and found.plug_in < 1e-12
    assert found.total.value == pytest.approx(entropy(SHARES[1])) and found.distance < 1e-12
    np.testing.assert_allclose(found.mixture, SHARES[1], atol=1e-15)


def test_two_certain_passes_that_differ_have_nothing_but_information() -> None:
    sure = [Distribution.dense([0.0, -np.inf]), Distribution.dense([-np.inf, 0.0])]
    found = disagreement(sure * 3)
    assert found.mean_entropy.value == 0.0 and found.plug_in == pytest.approx(np.log(2))
    assert found.total.value > np.log(2)  # the correction for six passes; the mean of many such estimates is log 2


def test_two_passes_have_no_error_of_the_information() -> None:
    """Each alone has none, by its definition, so nothing is known of how it moves."""
    found = disagreement([Distribution.dense(row) for row in ROWS[:2]])
    three = disagreement([Distribution.dense(row) for row in (*ROWS, [0.0, 0.0, 1.0, 1.0])])
    assert np.isnan(found.information.error) and found.information.high == np.inf
    assert found.total.high < np.inf and three.information.error > 0


@pytest.mark.parametrize("caches", [None, ()])
def test_a_stored_answer_is_no_second_pass(caches: object) -> None:
    class Stores(TableAdapter):
        """As the adapter of llama.cpp says it (before it is asked), or as a server does (after that)."""

        def cached_tokens(self, prefix: Prefix) -> int:
            return len(prefix)

    adapter = Stores(lambda _: ROWS[1], 4)
    adapter.caches = caches  # type: ignore[attr-defined]
    with pytest.raises(ParameterError, match=r"repeats its stored answer.*several new adapters"):
        passes_of(adapter, [0, 1], 2)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ParameterError, match="a pass is a Distribution, not"):
        disagreement([SHARES[0], SHARES[1]])  # type: ignore[list-item]
    with pytest.raises(ParameterError, match="at least 2"):
        disagreement([Distribution.dense([0.0, 1.0])])
    with pytest.raises(ParameterError, match="one vocabulary"):
        disagreement([Distribution.dense([0.0, 1.0]), Distribution.dense([0.0, 1.0, 2.0])])
    with pytest.raises(Undisclosed, match="mixture"):
        disagreement(passes_of(TableAdapter(lambda _: ROWS[0], 4, most=Disclosure(top=2)), [0], 3))
    fixed = Coin(1)
    fixed.info = replace(fixed.info, deterministic=True)
    with pytest.raises(ParameterError, match="no method mixture"):
        passes_of(fixed, [0], 3)
