"""Vocabularies without a token for some letters: what they can write is written, and what they cannot is told first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("llguidance")

from decodekit import DecodekitError, Session, processor
from decodekit.testing import TableAdapter
from decodekit.testing.tokenizers import PiecesTokenizer
from decodekit_grammar.writable import is_writable
from tests.plugins.grammar.samples import SAMPLES

LETTERS = '0123456789-{}[]",: abelturfns'
ITEMS = {"type": "array", "items": {"type": "integer"}, "minItems": 1}
TREE = {"$defs": {"T": {"anyOf": [{"type": "null"}, {"type": "array", "items": {"$ref": "#/$defs/T"}}]}}}


def without(letters: str, pieces: str = LETTERS) -> TableAdapter:
    """A model of these letters, except some."""
    tokens: list[bytes | None] = [*(letter.encode() for letter in pieces if letter not in letters), None]
    return model_of(tokens)


def model_of(tokens: list[bytes | None]) -> TableAdapter:
    size = len(tokens)
    return TableAdapter(
        lambda ids: np.random.default_rng([len(ids), sum(ids)]).normal(0, 1, size),
        size,
        tokenizer=PiecesTokenizer(tokens, eos_ids=[size - 1]),
    )


def schema(given: Any) -> tuple[str, Any]:
    return "json_schema", given


@pytest.mark.parametrize(
    ("letters", "name", "value", "needed"),
    [
        ("]", *schema(ITEMS), "']'"),
        ("}", *schema({"type": "object"}), "'}'"),
        (",", *schema({"type": "array", "items": {"type": "boolean"}, "minItems": 2}), "','"),
        (":", *schema({"properties": {"a": {}}, "required": ["a"], "type": "object"}), "':'"),
        ("l", *schema({"properties": {"a": {"const": "el"}}, "required": ["a"], "type": "object"}), "'l'"),
        ('"', *schema({"items": {"type": "string"}, "minItems": 1, "type": "array"}), "'\"'"),
        (
            "0123456789",
            *schema({"prefixItems": [{"type": "number"}], "minItems": 1, "type": "array"}),
            ", ".join(map(repr, "0123456789")),
        ),
        ("nb", *schema({"allOf": [{"enum": ["a", "n"]}, {"enum": ["b", "n"]}]}), "'b', 'n'"),
        ("]}", "json", True, "']', '}'"),
        ("a", "choice", ["sa", "at"], "'a'"),
        ("t", "regex", "(s|t)*t", "'t'"),
    ],
)
def test_a_language_that_the_vocabulary_cannot_write_is_refused_first(
    letters: str, name: str, value: Any, needed: str
) -> None:
    for forcing in ("canonical", "free"):
        with pytest.raises(DecodekitError, match="no text of this vocabulary is in the grammar") as caught:
            Session(without(letters)).generate([0], schema=processor(name, **{name: value, "forcing": forcing}))
        assert "step 0" in str(caught.value) and str(caught.value).endswith("no token has " + needed)


@pytest.mark.parametrize(
    ("letters", "name", "value"),
    [
        ("[]", *schema({"type": ["integer", "null"]})),
        ("[]", *schema({**TREE, "$ref": "#/$defs/T"})),
        (",:", *schema({"type": "array", "maxItems": 1})),
        ("{}", *schema({"anyOf": [{"type": "object"}, {"type": "boolean"}], "type": "boolean"})),
        ("b", "choice", ["a", "b"]),
        ("t", "regex", "s|t"),
    ],
)
def test_another_text_of_the_language_is_enough(letters: str, name: str, value: Any) -> None:
    part = processor(name, **{name: value})
    assert part.is_writable(frozenset(letters.encode()))
    assert Session(without(letters), seed=1).generate([0], schema=part, max_tokens=1).token_ids


@pytest.mark.parametrize("forcing", ["canonical", "free"])
def test_a_letter_that_is_missing_inside_of_forced_text_is_named(forcing: str) -> None:
    part = processor("lark", lark='start: "ab" x\nx: "e}"', forcing=forcing)
    with pytest.raises(DecodekitError, match=r"must go on with b'abe}', and no token of this vocabulary has its last"):
        Session(without("}")).generate([0], schema=part)


def test_text_is_split_where_the_longest_token_leads_nowhere() -> None:
    result = Session(model_of([b"ab", b"a", b"bc", None])).generate([0], schema=processor("choice", choice=["abc"]))
    assert (result.token_ids[:2], result.complete) == ((1, 2), True)


def test_every_sample_can_be_written() -> None:
    assert all(is_writable(sample.schema, frozenset()) for sample in SAMPLES)
    assert not is_writable({"properties": {"x": {"$ref": "#"}}, "required": ["x"], "type": "object"}, frozenset())
