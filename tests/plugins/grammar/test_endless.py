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
    ("lark", "words"),
    [
        ('start: "a" | loop\nloop: "x" loop', "a text that comes to loop never ends"),
        ('start: "a" loop?\nloop: "x" loop', "comes to loop"),
        ('start: "a" (loop "c")* "b"\nloop: "x" loop', "comes to loop"),
        ('start: "a" [loop]\nloop: "x" loop', "comes to loop"),
        ('start: "a" | "b" loop{0,3}\nloop: "x" loop', "comes to loop"),
        ('start: x\nx: "a" | y?\ny: z "b" | z\nz: y "c"', "each alternative of y, z needs a rule that never ends"),
        (
            'start: %json {"type": "integer"} | loop\n%ignore / /\nloop: "x" loop',
            "give it one that does, or leave it out",
        ),
    ],
)
def test_a_branch_that_never_ends_is_named(lark: str, words: str) -> None:
    with pytest.raises(ParameterError) as caught:
        processor("lark", lark=lark)
    assert words in str(caught.value)


@pytest.mark.parametrize("kind", ["an alternative", "needed", "in front"])
def test_a_chain_of_rules_is_judged_however_it_is_ordered(kind: str) -> None:
    chain = [f'r{i}: "x" r{i + 1}' for i in range(900)]
    chain = [f'{each} | "y"' for each in chain] if kind == "an alternative" else chain
    lines = ["start: r0", *chain, 'r900: "z"']
    processor("lark", lark="\n".join(lines[::-1] if kind == "in front" else lines))
    with pytest.raises(ParameterError, match="no text of the grammar ends" if kind != "an alternative" else "to r900"):
        processor("lark", lark="\n".join([*lines[:-1], 'r900: "z" r900']))


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
        'start: "a" | %lark {\n  start: "b" "c"\n}\n',
    ],
)
def test_a_grammar_that_refers_to_itself_and_ends(lark: str) -> None:
    processor("lark", lark=lark)
