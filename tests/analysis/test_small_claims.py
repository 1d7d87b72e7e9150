"""Greedy against the mode, addition of floats, and one text in several tokenisations."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest

from decodekit import Disclosure, Distribution, ParameterError, Prefix, Undisclosed
from decodekit.analysis.answers.heating import temperature_facts
from decodekit.analysis.numbers.adding_floats import float_addition
from decodekit.analysis.texts.most_likely import greedy_and_mode
from decodekit.analysis.texts.splitting import compare_tokenisations, tokenisations
from decodekit.testing import PiecesTokenizer, TableAdapter
from tests.analysis.whole_texts import LENGTH, chained, every_text
from tests.search import tables
from tests.search.tables import END, PROMPT, Rows, model, plain

TREE = {(9,): [0.6, 0.4], (9, 0): [0.5, 0.5], (9, 1): [0.9, 0.1]}


def test_greedy_is_not_the_mode_of_the_law_of_texts() -> None:
    """0.6 * 0.5 = 0.3 < 0.4 * 0.9 = 0.36: the example that anyone can check by hand."""
    rows = {key: np.log([*value, *[1e-300] * 8]) for key, value in TREE.items()}
    found = greedy_and_mode(TableAdapter(rows, 10), [9], 2)
    assert (found.greedy, found.mode, found.greedy_is_mode) == ((0, 0), (1, 0), False)
    assert math.exp(found.greedy_logprob) == pytest.approx(0.3)
    assert math.exp(found.mode_logprob) == pytest.approx(0.36)


@pytest.mark.parametrize("shift", range(6))
@pytest.mark.parametrize("length", [1, 2, 4])
def test_the_mode_is_that_of_all_texts(shift: int, length: int) -> None:
    def law(ids: tuple[int, ...]) -> np.ndarray:
        return tables.probabilities(tables.scores((shift % 3, shift // 3, *ids)))

    found = greedy_and_mode(model(), [shift % 3, shift // 3], length)
    exact = every_text(law, length)
    assert found.mode == max(exact, key=lambda ids: exact[ids])
    assert found.mode_logprob == pytest.approx(math.log(max(exact.values())))
    assert (
        found.greedy_logprob == pytest.approx(math.log(exact[found.greedy]))
        and found.greedy_logprob <= found.mode_logprob
    )


@pytest.mark.parametrize(("chain", "law"), [(None, plain), (chained(), tables.chained)])
def test_under_a_chain_it_is_that_of_the_chain(chain: Any, law: Rows) -> None:
    exact = every_text(law)
    assert greedy_and_mode(model(), PROMPT, LENGTH, chain=chain).mode == max(exact, key=lambda ids: exact[ids])


def test_a_search_that_is_cut_or_sees_too_little_gives_no_answer() -> None:
    flat = TableAdapter(lambda _: [0.01, *[0.0] * 8], 9)
    with pytest.raises(ParameterError, match=r"most: after 5 beginnings the log-probability .* is between"):
        greedy_and_mode(flat, [0], 4, most=5)
    shown = greedy_and_mode(model(most=Disclosure(top=3)), PROMPT, 2)  # the fourth token is never in question here
    assert shown.mode == greedy_and_mode(model(), PROMPT, 2).mode
    with pytest.raises(Undisclosed):
        greedy_and_mode(TableAdapter(lambda _: np.zeros(9), 9, most=Disclosure(top=1)), [0], 3, most=50)


def test_addition_is_commutative_and_not_associative() -> None:
    for dtype in ("float16", "float32", "float64"):
        found = float_addition(2000, dtype, repeats=20)
        assert (found.order_matters, found.repeat_matters) == (0, 0)
        assert found.grouping_matters > 100 and found.largest_gap > 0
    with pytest.raises(ParameterError, match="dtype is"):
        float_addition(10, "bfloat16")


PIECES = PiecesTokenizer([b"a", b"b", b"ab", b"ba", b"aba", None], eos_ids=[5])


def test_every_way_to_split_a_text_is_found_once() -> None:
    assert tokenisations(PIECES, "abab", 100) == [
        (4, 1), (2, 2), (0, 1, 2), (0, 3, 1), (2, 0, 1), (0, 1, 0, 1),
    ]  # fmt: skip
    assert tokenisations(PIECES, "abab", 2) == [(4, 1), (2, 2)]
    with pytest.raises(ParameterError, match="empty"):
        tokenisations(PIECES, "")


def test_the_same_text_in_other_tokens_has_another_distribution() -> None:
    model = TableAdapter(lambda ids: np.random.default_rng(ids).normal(size=6), 6, tokenizer=PIECES)
    found = compare_tokenisations(model, "abab", most=4)
    assert found.splits == tuple(tokenisations(PIECES, "abab", 4))
    rows = model.predict([Prefix(ids) for ids in found.splits])
    for i, one in enumerate(rows):
        for j, other in enumerate(rows):
            exact = 0.5 * np.abs(np.exp(one.logprobs) - np.exp(other.logprobs)).sum()  # type: ignore[union-attr]
            assert found.distances[i, j] == pytest.approx(exact, abs=1e-12)
    assert found.distances[0, 1] > 0.01
    with pytest.raises(ParameterError, match=r"the tokens \[0\] are not the text"):
        compare_tokenisations(model, "abab", splits=[[0]])
    with pytest.raises(ParameterError, match="nothing to compare"):
        compare_tokenisations(model, "abab", splits=[])
    with pytest.raises(Undisclosed):
        compare_tokenisations(TableAdapter(lambda _: np.zeros(6), 6, tokenizer=PIECES, most=Disclosure(top=2)), "ab")


def test_the_end_of_text_ends_a_text_here_too() -> None:
    found = greedy_and_mode(model(lambda _: np.array([0.0, 0.0, 0.0, 3.0])), PROMPT, 5)
    assert found.mode == found.greedy == (END,)


def test_temperature_scales_and_the_noise_is_in_the_draw() -> None:
    row = Distribution.dense(np.random.default_rng(1).normal(size=50))
    found = temperature_facts(row, [0.05, 0.5, 1.0, 3.0], draws=50)
    assert found.same_order and (np.diff(found.entropies) > 0).all() and found.other_draws.tolist() == [0, 0, 0, 0]
    assert found.entropies[2] == row.entropy
    with pytest.raises(ParameterError, match="at least one"):
        temperature_facts(row, [])
    with pytest.raises(Undisclosed):
        temperature_facts(Distribution.head([1, 2], [-1.0, -2.0], 9), [1.0])


def test_the_mode_of_flat_trees_is_found_behind_other_texts_that_beat_the_greedy_one() -> None:
    better = 0
    for seed in range(30):

        def row(ids: tuple[int, ...], seed: int = seed) -> np.ndarray:
            return np.random.default_rng([seed, *ids]).normal(0, 0.7, size=5)

        exact = {
            ids: sum(math.log(tables.probabilities(row((0, *ids[:at])))[ids[at]]) for at in range(3))
            for ids in product(range(5), repeat=3)
        }
        found = greedy_and_mode(TableAdapter(row, 5), [0], 3)
        assert found.mode == max(exact, key=lambda ids: exact[ids]), seed
        better += sum(value > found.greedy_logprob for value in exact.values()) > 1
    assert better >= 5
