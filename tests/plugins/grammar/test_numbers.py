"""No number of a schema stands for a neighbour: it is kept exactly or refused; and bounds are kept."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Literal

import jsonschema
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

pytest.importorskip("llguidance")

from llguidance import LLMatcher

from decodekit import ParameterError, processor
from decodekit_grammar.vocabulary import BYTES as NATIVE
from tests.plugins.grammar.models import accepts

ID = 1234567890123456789  # as float64 it is ...768


def constraint(schema: Any) -> Any:
    return processor("json_schema", json_schema=schema, forcing="free", whitespace="none", number_length=None)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"const": ID}, f"at its root: const has the number {ID}"),
        ({"const": -ID}, f"const has the number -{ID}"),
        ({"const": {"id": [ID]}}, f"const has the number {ID}"),
        ({"items": {"enum": ["x", 7, ID]}}, f"at /items: enum has the number {ID}"),
        (Literal[ID], f"const has the number {ID}"),
        ({"const": 10**25 + 1}, "too many digits"),
        ({"const": 2**63}, "too many digits"),
        ({"const": 123456789.12345679}, "const has the number 123456789.12345679"),
        ({"const": 1e-300}, "too many digits"),
        ({"type": "integer", "minimum": ID}, f"minimum is {ID}"),
        ({"type": "integer", "maximum": 2**53 + 1}, f"maximum is {2**53 + 1}"),
        ({"type": "number", "maximum": 2**60}, f"maximum is {2**60}"),
        ({"type": "integer", "exclusiveMaximum": 2**62}, f"exclusiveMaximum is {2**62}"),
        ({"const": 144_115_188_075_870_000}, "const has the number 144115188075870000"),
        ({"type": "integer", "exclusiveMaximum": 10**18}, "exclusiveMaximum"),
        ({"type": "integer", "exclusiveMinimum": 2**53}, "exclusiveMinimum"),
        ({"type": "number", "minimum": 123456789.12345679}, "minimum is 123456789.12345679"),
        ({"type": "number", "exclusiveMinimum": 91, "maximum": 91.5}, "such as 91.0000000000001"),
        ({"type": "number", "exclusiveMaximum": -91, "minimum": -91.5}, "such as -91.0000000000001"),
        ({"allOf": [{"exclusiveMinimum": 91}, {"exclusiveMaximum": 91.5}]}, "exclusiveMinimum 91 with another bound"),
        ({"type": "number", "exclusiveMinimum": 10, "maximum": 10}, "exclusiveMinimum (10) is equal to maximum (10)"),
        ({"type": "integer", "minimum": 10**18}, "a bound of 19 digits or more is not supported"),
        (
            {"allOf": [{"multipleOf": 1_000_000}, {"multipleOf": 700_000}]},
            "multipleOf with more than 9 digits together",
        ),
    ],
)
def test_a_number_that_would_be_rounded_is_refused(schema: Any, words: str) -> None:
    with pytest.raises(ParameterError) as caught:
        constraint(schema)
    assert words in str(caught.value)


@settings(max_examples=150)
@given(digits=st.integers(-(10**15), 10**15), power=st.integers(-22, 4))
def test_the_others_are_kept(digits: int, power: int) -> None:
    number = digits * 10**power if power >= 0 else float(Decimal(digits).scaleb(power))
    assume(int(float(number)) == number or isinstance(number, float))
    text = format(Decimal(repr(number)), "f").removesuffix(".0")
    assert accepts(constraint({"const": number}), text.removeprefix("-") if number == 0 else text)


@pytest.mark.parametrize(
    ("schema", "inside", "outside"),
    [
        ({"type": "integer", "maximum": 2**53}, 2**53, 2**53 + 1),
        ({"type": "integer", "maximum": 10**18}, 10**18, 10**18 + 1),
        ({"type": "integer", "maximum": 2**63 - 1}, 2**63 - 1, 2**63),
        ({"type": "integer", "exclusiveMaximum": 2**53 - 1}, 2**53 - 2, 2**53 - 1),
        ({"type": "number", "maximum": 2**53}, 2**53, 2**53 + 1),
        ({"type": "integer", "minimum": -(2**53)}, -(2**53), -(2**53) - 1),
        ({"allOf": [{"multipleOf": 1000}, {"multipleOf": 700}], "type": "integer"}, 7000, 700),
    ],
)
def test_large_bounds_are_exact(schema: Any, inside: int, outside: int) -> None:
    part = constraint(schema)
    assert accepts(part, str(inside)) and not accepts(part, str(outside))


FRACTIONS = ["", *(f".{n:0{size}}" for size in (1, 2) for n in range(10**size) if n % 10 in (0, 1, 2, 5, 9))]
SHORT = [f"{sign}{whole}{rest}" for sign in ("", "-") for whole in (0, 1, 2, 10) for rest in FRACTIONS]
LONG = [
    "1.0000000000000000000001",
    "1.0000000000000002",
    "-0.0000000000000000000001",
    "0.0000000000000000000001",
    "1e-1",
]
ENDS = [-2.25, -2, -0.5, 0, 0.25, 1, 1.5, 2.05, 10]


def judged(schema: Any) -> tuple[list[str], list[str]]:
    """The numbers that a constraint allows and jsonschema does not, and the short ones that it forbids."""
    start = LLMatcher(NATIVE, constraint(schema).grammar(), log_level=0)
    judge = jsonschema.Draft202012Validator(schema)
    wrong, missing = [], []
    for text in [*SHORT, *LONG]:
        place = start.deep_copy()
        allowed = place.try_consume_tokens(list(text.encode())) == len(text) and place.is_accepting()
        if allowed != judge.is_valid(json.loads(text)):
            (wrong if allowed else missing).append(text)
    return wrong, [text for text in missing if text not in LONG]


def left_out(text: str) -> bool:
    """Whether docs/constraints.md says so of a number in a schema with bounds."""
    return (text.startswith("-0") and float(text) == 0) or ("." in text and text.endswith("0")) or "e" in text


def between(low: str, high: str) -> Any:
    return [{"type": "number", low: one, high: two} for one in ENDS for two in ENDS if one < two]


@pytest.mark.parametrize("low", ["minimum", "exclusiveMinimum"])
@pytest.mark.parametrize("high", ["maximum", "exclusiveMaximum"])
def test_all_short_numbers_between_two_bounds(low: str, high: str) -> None:
    for schema in between(low, high):
        wrong, missing = judged(schema)
        assert wrong == [] and [text for text in missing if not left_out(text)] == [], schema


NEAR_ZERO = {"exclusiveMinimum": 0, "maximum": 0.25}


@pytest.mark.parametrize(
    "schema",
    [
        NEAR_ZERO,
        {"type": ["string", "number"], **NEAR_ZERO},
        {"type": ["integer", "number"], **NEAR_ZERO},
        {"type": "number", "allOf": [{"exclusiveMinimum": 0}, {"maximum": 0.25}]},
        {"type": "number", **NEAR_ZERO, "anyOf": [{"maximum": 0.12}, {"exclusiveMinimum": 0.2}]},
        {"$ref": "#/$defs/p", "maximum": 0.25, "$defs": {"p": {"type": "number", "exclusiveMinimum": 0}}},
        {"oneOf": [NEAR_ZERO | {"type": "number"}, {"type": "number", "exclusiveMinimum": 0.25, "maximum": 2.05}]},
        {"enum": [0, 0.1, 0.25, 0.5], **NEAR_ZERO},
        {"type": "number", **NEAR_ZERO, "minimum": 0.1},
        {"type": "integer", "exclusiveMinimum": 0.5, "maximum": 2.5},
        {"type": "integer", "exclusiveMinimum": -2, "exclusiveMaximum": 2.0},
        {"type": "integer", "exclusiveMinimum": -0.5, "maximum": 10.5, "multipleOf": 2.5},
        {"type": "number", "exclusiveMinimum": 0, "maximum": 0.5, "multipleOf": 0.5},
    ],
    ids=str,
)
def test_bounds_beside_other_keywords(schema: Any) -> None:
    wrong, missing = judged(schema)
    assert wrong == [] and [text for text in missing if not left_out(text)] == []


def test_each_multiple_can_be_written() -> None:
    for bounds in (NEAR_ZERO, {"exclusiveMinimum": 0, "maximum": 0.5}, {"exclusiveMaximum": 0, "minimum": -0.5}):
        part = constraint({"type": "number", "multipleOf": 0.25, **bounds})
        least, most = sorted(bounds.values())
        for text in ("-0.50", "-0.25", "0", "0.25", "0.50", "0.75"):
            inside = least <= float(text) <= most and float(text) != 0
            assert accepts(part, text) == inside


def test_the_bounds_of_draft_4() -> None:
    draft = {"$schema": "http://json-schema.org/draft-04/schema#"}
    part = constraint({**draft, "type": "number", "minimum": 0, "exclusiveMinimum": True, "maximum": 0.25})
    assert accepts(part, "0.2") and not accepts(part, "0") and not accepts(part, "0.0")
    part = constraint({**draft, "type": "number", "minimum": 0, "exclusiveMinimum": False, "maximum": 0.25})
    assert accepts(part, "0.2") and accepts(part, "0")


def test_bounds_of_two_properties_are_none_of_one_number() -> None:
    two = {"properties": {"a": {"type": "number", "exclusiveMinimum": 0}, "b": {"type": "number", "maximum": 0.5}}}
    assert accepts(constraint({"allOf": [{"type": "object", **two}]}), '{"a":0.1,"b":0.5}')
