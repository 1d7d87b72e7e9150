"""Constraints of a chain and schemas as validators: the masks of a grammar, the law of the model."""

from __future__ import annotations

import json
import math
import re
from itertools import product
from typing import Any

import pytest

from decodekit import (
    Chain,
    Choice,
    Context,
    Distribution,
    ParameterError,
    PluginError,
    Session,
    processor,
    sample_valid,
)
from decodekit.search.valid_samples import Method
from decodekit.testing import NGramAdapter
from tests.search.tables import END, LETTERS, MAX_TOKENS, PROMPT, model, odd, plain, texts, valid_of


class OddAs:
    """`odd` as a stateful processor; its state is the text."""

    name = "odd_as"

    def initial(self, ctx: Context) -> str:
        return ""

    def __call__(self, dist: Distribution, ctx: Context, state: str) -> Distribution:
        allowed = [i for i, letter in enumerate(LETTERS) if odd(state + letter, False)]
        return dist.keep([*allowed, END] if self.complete(state) else allowed)

    def advance(self, state: str, choice: Choice, ctx: Context) -> str:
        assert odd(state + LETTERS[choice.token_id], False)  # it is not led astray
        return state + LETTERS[choice.token_id]

    def complete(self, state: str) -> bool:
        return odd(state, True)


def estimate(found: Any, ids: tuple[int, ...]) -> float:
    return float(found.mean(lambda each: float(each.token_ids == ids)))


@pytest.mark.parametrize("method", ["rejection", "cars", "smc", "awrs"])
def test_a_constraint_is_a_validator(method: Method) -> None:
    """The same samples as with the function of the text, where masks play no part in the draw."""
    by_constraint, by_text = (
        sample_valid(model(), PROMPT, valid, n=40, method=method, max_tokens=MAX_TOKENS, seed=6)
        for valid in (OddAs(), odd)
    )
    if method in ("rejection", "awrs"):
        assert by_constraint.samples == by_text.samples
    p_valid, law = valid_of(texts(plain))
    assert {each.token_ids for each in by_constraint.samples} <= set(law)
    assert abs(by_constraint.p_valid - p_valid) < 5 * by_constraint.standard_error + 1e-12


@pytest.mark.parametrize("method", ["cars", "smc"])
def test_a_regex_of_llguidance_has_the_law_of_the_model(method: Method) -> None:
    pytest.importorskip("llguidance")
    pattern = "(ab|c[bc]*|aca)"
    regex = processor("regex", regex=pattern, forcing="free")
    truth = {ids: p for ids, p in texts(plain).items() if re.fullmatch(pattern, "".join(LETTERS[i] for i in ids[:-1]))}
    total = math.fsum(truth.values())
    found = sample_valid(model(), PROMPT, regex, n=400, method=method, max_tokens=MAX_TOKENS, seed=3)
    assert {each.token_ids for each in found.samples} <= set(truth)
    assert abs(found.p_valid - total) < 5 * found.standard_error + 1e-12
    for ids, p in truth.items():
        share = p / total
        assert abs(estimate(found, ids) - share) < 5 * math.sqrt(share * (1 - share) / found.ess) + 1e-12


def test_the_mask_of_a_regex_is_the_one_of_its_texts() -> None:
    pytest.importorskip("llguidance")
    from decodekit.draw.context import TokenIds
    from decodekit.search.constraint import OfConstraint

    pattern, prompt = "(ab|c[bc]*|aca)", Context(TokenIds([0]), TokenIds(), model().tokenizer)
    valid = OfConstraint(processor("regex", regex=pattern, forcing="free"), prompt, 4)
    words = ["".join(word) for length in range(7) for word in product(LETTERS, repeat=length)]
    whole = [word for word in words if re.fullmatch(pattern, word)]
    for word in sorted(words, key=len):
        if len(word) > 4 or not any(each.startswith(word) for each in whole):
            continue
        ids = tuple(LETTERS.index(letter) for letter in word)
        expected = [i for i in range(3) if any(each.startswith(word + LETTERS[i]) for each in whole)]
        assert valid.allowed(ids).tolist() == [*expected, *([END] if word in whole else [])]
        assert valid.complete(ids) == (word in whole)
        assert [i for i in range(3) if valid.prefix_ok((*ids, i))] == expected


def test_a_schema_and_a_type_are_validators() -> None:
    pytest.importorskip("llguidance")
    text = '{"age": 7}{"age": 31}{"age": 450}[1]{"ago": 2}'
    schema = {"type": "object", "properties": {"age": {"type": "integer", "minimum": 0, "maximum": 99}},
              "required": ["age"], "additionalProperties": False}  # fmt: skip
    session = Session(NGramAdapter(text * 3, order=5), seed=2, max_tokens=24)
    for method in ("cars", "smc"):
        found = sample_valid(session, "}", schema, n=3, method=method, stop_when_complete=True)  # type: ignore[arg-type]
        assert found.samples and all(0 <= json.loads(each.text)["age"] <= 99 for each in found.samples)
    numbers = sample_valid(session, "]", list[int], n=4, method="smc", stop_when_complete=True)
    assert all(isinstance(json.loads(each.text), list) for each in numbers.samples) and numbers.p_valid < 1


def test_what_is_no_constraint_of_this_vocabulary_is_refused() -> None:
    with pytest.raises(ParameterError, match="valid: give a function"):
        sample_valid(model(), PROMPT, Chain())  # type: ignore[arg-type]
    adapter = model()
    object.__setattr__(adapter.info, "vocab_size", None)
    with pytest.raises(ParameterError, match="'odd_as' masks a vocabulary, and this adapter does not know its size"):
        sample_valid(adapter, PROMPT, OddAs())

    class Broken(OddAs):
        def __call__(self, dist: Distribution, ctx: Context, state: str) -> Distribution:
            raise ValueError("no grammar")

    with pytest.raises(PluginError, match="plugin 'odd_as', step 0: raised ValueError: no grammar"):
        sample_valid(model(), PROMPT, Broken(), method="smc")
