"""What llguidance refuses is told by its place, its cause in plain words, and a way out; its own words come behind."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("llguidance")

from decodekit import DecodekitError, ParameterError, Session, processor
from decodekit_grammar.messages import explained
from tests.plugins.grammar.models import model

REGEXES = {
    "(?=a)b": "look-ahead and look-behind",
    "(a)\\1": "a back-reference such as \\1 is not supported; write out each case",
    "a\\bc": "write out the letters that may stand there",
    "a(": "add ), or write \\( for the letter",
    "a)": "a ) closes nothing",
    "[a": "write \\[ for the letter",
    "*a": "has nothing before it",
    "a{2,1}": "the first number of {m,n} is the greater one; exchange them",
    "a{0,99999999999}": "at most 9 digits",
    "\\p{Nope}": "names nothing that Unicode has",
    "\\q": "leave it out, or write two",
    "[z-a]": "the first letter of a range",
    "(?-u:\\xff)": "leave (?-u) out",
    "\\u12": "an escape lacks its digits",
    "(?y)a": "a flag in (?...) is not known",
    "(?<x>a)(?<x>b)": "leave the names out",
    "(" * 300 + ")" * 300: "nested too deeply",
    "[^\\s\\S]": "its parts exclude each other; loosen one of them",
}
LARKS = {
    "start: thing": "line 1, column 8: thing is not defined",
    "start thing": "line 1, column 7: a rule is a name, a colon and what it stands for",
    'start: "a': "is not closed",
    'start: "a"\nstart: "b"': "line 2, column 8: start is defined twice",
    'foo: "a"': "give the first rule this name",
    'start: A\nA: "a" A': "with a name of small letters it is a rule",
    "start: /(/": "line 1, column 8: a ( is not closed",
    "start: %regex {}": "%regex takes one of",
    'start: "a" x\nx: %json {"items":\n {"not": {}}}': 'line 2, %json, at /items: "not" is not supported',
    'start: %json {"type": "integer",\n "minimun": 3}': "line 1, %json, at its root: 'minimun' is no keyword",
    "start: %json {": "check its brackets and quotes",
    "%import common.FOO\nstart: FOO": "define this one in the grammar",
    "%declare A\nstart: A": "%declare is not supported",
    'start: "z".."a"': "a range is not valid",
    "start: @other": "copy its rules here",
    'start.3: "a"': "leave the number out",
    'start: ("a"': ") is missing here",
    "start: 3": "something is missing here",
    'start: A & B\nA: "a"\nB: "b"': "change the case of the name",
    'start[stop="x", suffix="y"]: /a/': "an option in the brackets",
    "start: x::y": "this is no part of a rule",
    "   ": "it is empty",
    "start: " + "(" * 900 + '"a"' + ")" * 900: "give some of them a rule of their own",
}
SCHEMAS: list[tuple[Any, str]] = [
    ({"properties": {"a": {"type": "foo"}}}, "at /properties/a: foo is no type; there are string"),
    ({"items": {"$ref": "#/nowhere"}}, "$ref leads to nothing: there is no /nowhere; define it in this schema"),
    ({"items": {"$ref": "other.json"}}, "other.json is of another document"),
    ({"items": {"format": "colour"}}, "at /items: colour is a format that is not supported; leave it out, or give"),
    ({"items": {"pattern": "("}}, "at /items: a ( is not closed"),
    ({"items": {"not": {}, "if": {}}}, 'at /items: "if", "not" is not supported'),
    ({"items": {"minimum": "a"}}, 'at /items: minimum must be of the type number, not "a"'),
    ({"items": {"required": "a"}}, 'at /items: required must be of the type array, not "a"'),
    ({"items": {"required": [3]}}, "at /items: required is a list of texts"),
    ({"items": {"anyOf": 3}}, "at /items: anyOf must be an array"),
    ({"items": {"properties": {"a": 3}}}, "at /items: a schema stands here, and that is an object, true or false"),
    ({"items": {"minLength": 1.5}}, "at /items: minLength is an integer from 0, written without a point"),
    ({"items": {"multipleOf": 1e-30}}, "multipleOf has more than 9 digits; round it"),
    ({"allOf": [{"type": "string"}, {"type": "integer"}]}, "no value is valid: incompatible types; loosen one"),
    ({"type": "string", "pattern": "^a$", "minLength": 3}, "no text has the pattern and the lengths"),
    ({"type": "object", "properties": {"a": {}}, "maxProperties": 1, "minProperties": 0}, "need all of properties in"),
    ({"patternProperties": {"a": {}, "b": {}}, "additionalProperties": False}, "make them exclude each other"),
    (
        {"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a", "type": "string"}, {"const": 1}]}}, "$ref": "#/$defs/a"},
        "leave the $ref out",
    ),
    ({"type": "integer", "minimum": 10**18}, "give a nearer one"),
    ({"allOf": [{"anyOf": [{"properties": {f"{i}{j}": {}}} for j in range(6)]} for i in range(12)]}, "too large to be"),
]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        *(("regex", regex, words) for regex, words in REGEXES.items()),
        *(("lark", lark, words) for lark, words in LARKS.items()),
        *(("json_schema", schema, words) for schema, words in SCHEMAS),
    ],
    ids=lambda value: str(value)[:40],
)
def test_the_cause_and_the_way_out(name: str, value: Any, words: str) -> None:
    with pytest.raises(ParameterError) as caught:
        processor(name, **{name: value})
    message = str(caught.value)
    assert message.startswith(f"processor '{name}': {name}: ") and words in message
    assert "(llguidance: " in message or "its parts exclude each other" in message or "no keyword" in message


@pytest.mark.parametrize(
    ("lark", "words"),
    [
        ("start: <think>", 'line 1, column 8: the model has no control token "<think>"'),
        ("start: x\nx: <[999999999]>\n", "line 2, column 4: <[...]> takes ids of the model's tokens"),
        ("start: <[^*]>", "<[...]> takes ids of the model's tokens"),
    ],
)
def test_what_the_vocabulary_shows(lark: str, words: str) -> None:
    with pytest.raises(DecodekitError) as caught:
        Session(model()).generate("a", schema=processor("lark", lark=lark))
    assert "plugin 'lark', step 0: " in str(caught.value) and words in str(caught.value)


def test_half_of_a_character_is_named() -> None:
    for name, value in (("json_schema", {"const": "a\ud800"}), ("tools", [{"name": "\ud800"}])):
        with pytest.raises(ParameterError, match="is half of a character; give the whole one"):
            processor(name, **{name: value})


def test_a_message_without_a_known_cause_is_quoted() -> None:
    assert (
        explained("at 2(3): something new\n  2 | x") == "line 2, column 3: it is not taken (llguidance: something new)"
    )
    assert explained("") == "it is not taken (llguidance: no reason given)"
    assert len(explained("unknown name: " + '"' + "x" * 5000 + '"')) < 700
