"""Schemas are read as the standard says, where llguidance alone would not."""

from __future__ import annotations

import datetime
import json
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, Json

pytest.importorskip("llguidance")

from decodekit import ParameterError, processor
from decodekit_grammar.schemas import schema_of_type
from tests.plugins.grammar.models import accepts


def constraint(schema: Any) -> Any:
    return processor("json_schema", json_schema=schema, forcing="free", whitespace="none")


DATE, TIME, MOMENT = (constraint({"type": "string", "format": name}) for name in ("date", "time", "date-time"))


@settings(max_examples=200)
@given(year=st.integers(0, 9999), month=st.integers(0, 13), day=st.integers(0, 32))
def test_a_date_is_a_day_that_exists(year: int, month: int, day: int) -> None:
    text = f"{year:04}-{month:02}-{day:02}"
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        assert not accepts(DATE, f'"{text}"'), text
    else:
        assert accepts(DATE, f'"{text}"') and accepts(MOMENT, f'"{text}T01:02:03Z"'), text


@pytest.mark.parametrize("year", [1900, 2000, 2023, 2024, 2100, 2400, 4, 100])
def test_leap_years(year: int) -> None:
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    assert accepts(DATE, f'"{year:04}-02-29"') == accepts(MOMENT, f'"{year:04}-02-29T00:00:00Z"') == leap


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("23:59:59Z", True),
        ("00:00:00.123456789+14:00", True),
        ("23:59:60Z", False),
        ("24:00:00Z", False),
        ("12:60:00Z", False),
        ("12:00:00", False),
        ("12:00:00.Z", False),
        ("12:00:00.1234567890Z", False),
        ("12:00:00+24:00", False),
    ],
)
def test_times(text: str, valid: bool) -> None:
    assert accepts(TIME, f'"{text}"') == accepts(MOMENT, f'"2024-02-29T{text}"') == valid


def test_a_format_and_a_pattern_hold_together_and_a_property_may_be_called_format() -> None:
    part = constraint({"format": "date", "pattern": "^2", "allOf": [{"pattern": "-01$"}], "type": "string"})
    assert [accepts(part, f'"{day}"') for day in ("2023-02-01", "1999-02-01", "2023-02-02", "2023-02-31")] == [
        True, False, False, False,
    ]  # fmt: skip
    named = {"type": "object", "properties": {"format": {"enum": ["date"]}}, "required": ["format"]}
    assert accepts(constraint(named), '{"format":"date"}') and not accepts(constraint(named), '{"format":"time"}')
    assert accepts(constraint({"const": {"format": "date"}}), '{"format":"date"}')


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Json[int], "'content.*' is not supported: .* or make the field a plain string"),
        (list[Json[dict[str, int]]], "at /items: 'content.*' is not supported"),
        (Annotated[set[int], Field(min_length=2)], "uniqueItems"),
        (dict[str, Annotated[frozenset[int], Field(min_length=3)]], "at /additionalProperties: .*uniqueItems"),
    ],
)
def test_what_a_type_requires_and_the_mask_cannot_is_refused(kind: Any, words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        constraint(kind)


def test_a_set_that_may_be_small_may_name_an_item_twice() -> None:
    assert accepts(constraint(Annotated[set[int], Field(min_length=1, max_length=3)]), "[1,1]")


class Inner(BaseModel):
    n: int


class Outer(BaseModel):
    default: Inner  # a key that is also a keyword of JSON Schema
    enum: Inner | None = None


def test_objects_of_a_type_have_no_other_keys_whatever_their_own_are_called() -> None:
    part = constraint(Outer)
    assert accepts(part, '{"default":{"n":1},"enum":{"n":2}}')
    assert not accepts(part, '{"default":{"n":1,"m":2}}') and not accepts(part, '{"default":{"n":1},"more":2}')
    assert schema_of_type(Outer)["properties"]["default"] == {"$ref": "#/$defs/Inner"}


def test_words_that_say_nothing_of_the_value_are_read_over() -> None:
    notes = {"title": "T", "$comment": "c", "examples": [1], "deprecated": True, "x-mine": {"not": {}}, "example": 1}
    assert accepts(constraint({"type": "null", **notes}), "null")


def test_words_that_say_nothing_may_stand_beside_a_schema_that_refers_to_itself() -> None:
    item = {"anyOf": [{"type": "null"}, {"$ref": "#"}], "examples": [None], "x-mine": 1}
    part = constraint({"type": "object", "properties": {"next": item}, "required": ["next"]})
    assert accepts(part, '{"next":{"next":null}}') and not accepts(part, '{"next":1}')


def test_a_schema_that_stands_in_a_word_of_ones_own_is_found() -> None:
    part = constraint({"x-shared": {"whole": {"type": "integer"}}, "$ref": "#/x-shared/whole"})
    assert accepts(part, "1") and not accepts(part, '"a"')


def test_a_schema_in_a_grammar_is_read_as_one_alone() -> None:
    """llguidance alone allows 0 here, a key in escapes, and a dot for a line break; the lines keep their numbers."""
    near = {"type": "number", "exclusiveMinimum": 0, "maximum": 0.25}
    schema = {"type": "object", "properties": {"n": near, "p": {"pattern": "^.$"}}, "required": ["n"]}
    text = json.dumps(schema, indent=1)
    part = processor("lark", lark=f'start: "a" x\nx: %json {text}', forcing="free")
    assert accepts(part, 'a{"n":0.2}') and accepts(part, 'a{"n":0.2,"p":"é"}')
    assert not accepts(part, 'a{"n":0}') and not accepts(part, 'a{"n":0.2,"\\u0070":1}')
    assert not accepts(part, 'a{"n":0.2,"p":"\\n"}')
    with pytest.raises(ParameterError, match=rf"line {3 + text.count(chr(10))}, column 4: nothing is not defined"):
        processor("lark", lark=f'start: "a" x y\nx: %json {text}\ny: nothing')
    loose = processor("lark", lark='start: %json {"x-guidance": {"lenient": true}, "not": {}}', forcing="free")
    assert accepts(loose, "1")
