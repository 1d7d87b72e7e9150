"""No number of a schema stands for a neighbour: it is kept exactly or refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

pytest.importorskip("llguidance")

from decodekit import ParameterError, processor
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
