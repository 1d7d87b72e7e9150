"""Enumeration finds every text with its probability, and what it leaves out is counted."""

from __future__ import annotations

import math
from typing import Any

import pytest

from decodekit import Disclosure, ParameterError, Undisclosed, processor
from decodekit.analysis.texts.enumeration import enumerate_texts
from decodekit.analysis.texts.law import TextLaw
from tests.analysis.whole_texts import LENGTH, chained, entropy, every_text
from tests.search import tables
from tests.search.tables import PROMPT, Rows, model, plain


def found_by(width: int, chain: Any = None, **keywords: Any) -> Any:
    return enumerate_texts(TextLaw(model(**keywords), PROMPT, chain=chain), LENGTH, width=width)


@pytest.mark.parametrize(("chain", "law"), [(None, plain), (chained(), tables.chained)])
def test_with_room_for_all_every_text_has_its_probability(chain: Any, law: Rows) -> None:
    found, exact = found_by(1000, chain), every_text(law)
    assert {each.ids for each in (*found.open, *found.ended)} == set(exact)
    for each in (*found.open, *found.ended):
        assert math.isclose(math.exp(each.logprob), exact[each.ids], rel_tol=1e-12)
        assert each.ended == (each.ids[-1] == tables.END)
    assert found.missing == 0.0
    assert found.entropy.low == found.entropy.high == pytest.approx(entropy(list(exact.values())), abs=1e-12)


@pytest.mark.parametrize("width", [1, 2, 5, 13])
def test_what_is_left_out_bounds_what_is_not_known(width: int) -> None:
    found, exact = found_by(width), every_text(plain)
    listed = [each.ids for each in (*found.open, *found.ended)]
    assert 0 < found.missing < 1 and len(set(listed)) == len(listed)
    assert found.missing == pytest.approx(1 - sum(exact[ids] for ids in listed), abs=1e-12)
    assert found.entropy.low <= entropy(list(exact.values())) <= found.entropy.high
    assert found.entropy.high - found.entropy.low <= found.missing * LENGTH * math.log(4) + 1e-12


def test_a_model_that_shows_two_tokens_has_its_tails_counted() -> None:
    found, exact = found_by(1000, most=Disclosure(top=2)), every_text(plain)
    listed = {each.ids: math.exp(each.logprob) for each in (*found.open, *found.ended)}
    assert len(listed) < len(exact) and all(math.isclose(p, exact[ids]) for ids, p in listed.items())
    assert found.missing == pytest.approx(1 - sum(listed.values()), abs=1e-12)
    assert found.entropy.low <= entropy(list(exact.values())) <= found.entropy.high


def test_a_tail_of_unknown_weight_is_no_guess() -> None:
    with pytest.raises(Undisclosed):
        found_by(10, processor("temperature", temperature=0.5), most=Disclosure(top=2))
    cut = found_by(1000, processor("top_k", top_k=2), most=Disclosure(top=2))
    assert cut.missing == 0.0


def test_numbers_out_of_range_are_named() -> None:
    with pytest.raises(ParameterError, match="width must be"):
        found_by(0)
    with pytest.raises(ParameterError, match="max_tokens must be"):
        enumerate_texts(TextLaw(model(), PROMPT), 0)
    with pytest.raises(ParameterError, match="stop_ids: an id must be an integer from 0 to 3"):
        TextLaw(model(), PROMPT, stop_ids=[4])
    with pytest.raises(ParameterError, match="draws random numbers"):
        found_by(10, processor("xtc", xtc=1.0, threshold=0.1))
