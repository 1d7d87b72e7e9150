"""Schemas and grammars of which no text ends are refused; others that refer to themselves are taken."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("llguidance")

from decodekit import ParameterError, processor


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
