"""What no constraint can be made of is refused when it is built, and the message names the keyword and its place."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import pytest

pytest.importorskip("llguidance")

from decodekit import DecodekitError, ParameterError, Session, processor
from tests.plugins.grammar.models import model


@pytest.mark.parametrize(
    ("schema", "place", "words"),
    [
        ({"not": {"type": "string"}}, "its root", "not"),
        ({"properties": {"a": {"items": {"uniqueItems": True}}}}, "/properties/a/items", "uniqueItems"),
        ({"items": {"if": {}, "then": {}}}, "/items", "if"),
        ({"$defs": {"x": {"contains": {}}}, "$ref": "#/$defs/x"}, "/$defs/x", "contains"),
        ({"anyOf": [{"type": "integer"}, {"type": "string", "format": "colour"}]}, "/anyOf/1", "colour"),
        ({"properties": {"a/b": {"pattern": "(?=a)b"}}}, "/properties/a~1b", "look-around"),
        ({"type": "integer", "minimum": 3, "maximum": 1}, "its root", "greater than maximum"),
        ({"enum": []}, "its root", "enum is an empty list"),
        ({"items": {"type": []}}, "/items", "type is an empty list"),
        ({"items": {"multipleOf": -1}}, "/items", "multipleOf is greater than 0, not -1"),
        ({"const": {1: 2}}, "", "a key is a text, not 1"),
        ({"anyOf": ({"minimun": 3}, {})}, "/anyOf/0", "did you mean 'minimum'"),
        ({"properties": {"a": {"const": "x" * 5000}}}, "/properties/a", "no choice for the next 5002 bytes"),
        ({"items": {"enum": ["a" * 6000 + "b", "a" * 6000]}}, "/items", "no choice for the next 6001 bytes"),
        ({"items": {"enum": [{"a": ["x" * 5000]}]}}, "/items", "no choice for the next 5002 bytes"),
        ({"properties": {f"k{i}": {} for i in range(499)}}, "its root", "more than 498 optional keys"),
        (
            {"items": {"anyOf": [{"type": "object", "title": str(i)} for i in range(1001)]}},
            "/items",
            "more than 1000 br",
        ),
        (
            {"anyOf": [{"type": "object", "properties": {f"{i}{j}": {} for j in range(9)}} for i in range(300)]},
            "its root",
            "too many ways to go on here",
        ),
        ({"$ref": "#/nowhere"}, "its root", "nowhere"),
        ({"properties": {"n": {"type": "number", "minimun": 0}}}, "/properties/n", "did you mean 'minimum'"),
        ({"type": "object", "x-guidance": {"lenient": True}}, "its root", "x-guidance"),
        (
            {"type": "string", "nullable": True},
            "its root",
            "'nullable' is no keyword of JSON Schema",
        ),
        ({"items": {"$reff": "#"}}, "/items", "did you mean '$ref'"),
        ({"$recursiveRef": "#"}, "its root", "$recursiveRef"),
        ({"items": {"contentEncoding": "base64"}}, "/items", "what a string encodes"),
        ({"items": {"contentSchema": {}}}, "/items", "what a string holds"),
        ({"dependencies": {"a": ["b"]}}, "its root", "dependencies"),
        (
            {
                "$schema": "http://json-schema.org/draft-07/schema#",
                "definitions": {"x": {"type": "array"}},
                "properties": {"a": {"$ref": "#/definitions/x", "title": "X", "maxItems": 2}},
            },
            "/properties/a",
            "beside $ref, maxItems has no effect",
        ),
        ({"minProperties": 2, "required": ["a"]}, "its root", "minProperties"),
        ({"items": {"patternProperties": {"^x": {}}}}, "/items", "additionalProperties: false"),
        (
            {"type": "object", "properties": {"x": {"$ref": "#"}}, "required": ["x"]},
            "/properties/x",
            "no text of it ends",
        ),
        ({"type": "array", "items": {"$ref": "#"}, "minItems": 1}, "/items", "no text of it ends"),
        ({"type": "array", "prefixItems": [{}, {"$ref": "#"}], "minItems": 2}, "/prefixItems/1", "no text of it ends"),
        (
            {
                "$defs": {
                    "N": {"type": "object", "properties": {"n": {"$ref": "#/$defs/M"}}, "required": ["n"]},
                    "M": {"anyOf": [{"$ref": "#/$defs/N"}, {"type": "array", "minItems": 1, "items": {"$ref": "#m"}}]},
                    "L": {"$anchor": "m", "type": "array", "items": {"$ref": "#/$defs/N"}, "minItems": 1},
                },
                "type": "object",
                "properties": {"optional": {"$ref": "#/$defs/N"}},
            },
            "/properties/optional",
            "make it optional or nullable",
        ),
        ({"const": float("nan")}, "", "JSON values"),
        ({"const": {1}}, "", "JSON values"),
    ],
)
def test_a_schema(schema: dict[str, Any], place: str, words: str) -> None:
    with pytest.raises(ParameterError) as caught:
        processor("json_schema", json_schema=schema)
    message = str(caught.value)
    assert message.startswith("processor 'json_schema': json_schema: ") and words in message
    assert not place or f"at {place}: " in message


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("choice", [], "choice"),
        ("choice", ["a", ""], "choice.1"),
        ("regex", "(?<!a)b", "look-around"),
        ("regex", "a(", "regex: a ( is not closed; add )"),
        ("regex", "a\\b", "regex: \\b, and ^ or $ in the middle"),
        ("regex", "a\\\\\\", "a backslash that escapes nothing"),
        ("regex", "a{5000}", "no choice for the next 5000 bytes"),
        ("choice", ["a" * 5000, "b"], "no choice for the next 5000 bytes"),
        ("regex", "", "regex"),
        ("lark", "start: thing", "thing"),
        ("lark", '%llguidance {"no_forcing": true}\nstart: "a"', "forcing="),
        ("json_schema", "text", "json_schema"),
        ("json_schema", dict.fromkeys, "json_schema"),
        ("tools", [], "tools"),
        ("tools", [{"type": "function", "function": {}}], "tools[0]"),
        ("tools", [{"name": "f", "parameters": {"not": {}}}], "tools[0], parameters, at its root"),
        ("tools", [{"name": "f", "parameters": ["x"]}], "tools[0], parameters, a JSON Schema"),
        ("tools", [{"name": "f"}, {"name": "f"}], "tools[1]: there is another tool named 'f'"),
    ],
)
def test_another_constraint(name: str, value: Any, words: str) -> None:
    with pytest.raises(ParameterError, match=re.escape(words)):
        processor(name, **{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("choice", ["a" * 4096 + "b" * 4096, "a" * 4096, "c"]),
        ("choice", ["ab" * 3000 + "c", *("ab" * n + "d" for n in range(0, 3000, 1500))]),
        ("json_schema", {"properties": {f"k{i}": {} for i in range(900)}, "required": [f"k{i}" for i in (300, 600)]}),
        ("json_schema", {"properties": {f"k{i}": {} for i in range(498)}}),
    ],
    ids=str,
)
def test_what_the_limits_allow_is_written(name: str, value: Any) -> None:
    part = processor(name, **{name: value})
    result = Session(model(), seed=1).generate("a", schema=part, max_tokens=5)
    assert len(result.token_ids) in range(1, 6)


@pytest.mark.parametrize(
    ("lark", "words"),
    [("start: <think>", "line 1, column 8"), ("start: x\nx: <[999999999]>\n", "line 2, column 4")],
)
@pytest.mark.parametrize("forcing", ["canonical", "free"])
def test_an_error_that_the_vocabulary_shows_counts_the_lines_of_the_caller(lark: str, words: str, forcing: str) -> None:
    for after in (None, "</think>"):
        with pytest.raises(DecodekitError, match=words):
            Session(model()).generate("a", schema=processor("lark", lark=lark, forcing=forcing, after=after))


HOSTILE = [
    "(a+)+b",
    "((a{0,100}){0,100}){0,100}",
    "(a|aa)*" * 40,
    "[a-z]{0,100000}",
    "(.*a.*b.*c.*d.*)*",
    "|".join(f"word{i}" for i in range(5000)),
    "(" * 300 + "a" + ")" * 300,
    "\\p{L}{0,20000}",
]


@pytest.mark.parametrize("regex", HOSTILE, ids=lambda regex: regex[:20])
def test_a_hostile_expression_is_refused_or_compiled_and_the_next_one_works(regex: str) -> None:
    with suppress(ParameterError):
        processor("regex", regex=regex)
    processor("regex", regex="[0-9]+")
