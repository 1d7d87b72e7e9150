"""What no constraint can be made of is refused when it is built, and the message names the keyword and its place."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import pytest

pytest.importorskip("llguidance")

from decodekit import ParameterError, processor


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
        ({"enum": []}, "its root", "empty"),
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
    "schema",
    [
        {"type": "object", "properties": {"x": {"$ref": "#"}}},
        {"type": ["object", "null"], "properties": {"x": {"$ref": "#"}}, "required": ["x"]},
        {"type": "array", "items": {"$ref": "#"}},
        {"type": "array", "prefixItems": [{}, {"$ref": "#"}], "minItems": 1},
        {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"$ref": "#"}, "minItems": 2}]},
        {"type": "object", "properties": {"x": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["x"]},
    ],
)
def test_a_schema_that_refers_to_itself_and_ends(schema: dict[str, Any]) -> None:
    processor("json_schema", json_schema=schema)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("choice", [], "choice"),
        ("choice", ["a", ""], "choice.1"),
        ("regex", "(?<!a)b", "look-around"),
        ("regex", "a(", "regex"),
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
    "lark",
    [
        'start: "a" start',
        'start: /a/ x\nx: "b" x',
        'start: "a" (x | y)+ // never\nx: y "c"\n  | "d" x\ny: x{1,2}',
        'start: "[" start "]" | "(" start ")"',
        'start: %json {"type": "integer"} start',
    ],
)
def test_a_grammar_whose_rules_never_end(lark: str) -> None:
    with pytest.raises(ParameterError, match="no text of the grammar ends"):
        processor("lark", lark=lark)


@pytest.mark.parametrize(
    "lark",
    [
        'start: "a" start | "b"',
        'start: "a" start?',
        'start: "a" [start]',
        'start: "a" start*',
        'start: "a" start{0,2}',
        'start: (("a" start) | /b:c/)\n',
        'start: x "a" | y\nx: y start  # "never"\ny: NAME -> alias\nNAME: /[a-z]+/',
        'start[capture="start:"]: "x" ("start: " | y)\ny: %json {"type": "object"}',
        'start: "a"\nunused: "b" unused',
    ],
)
def test_a_grammar_that_refers_to_itself_and_ends(lark: str) -> None:
    processor("lark", lark=lark)


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
