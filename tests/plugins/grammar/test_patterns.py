"""A pattern of a schema is read as ECMA-262 says, or refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("llguidance")

from decodekit import ParameterError, processor
from tests.plugins.grammar.models import accepts


def constraint(schema: Any) -> Any:
    return processor("json_schema", json_schema=schema, forcing="free", whitespace="none")


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("^.$", "a é\u0085\U0001f600", "\n\r\u2028\u2029"),
        (r"^\s$", " \t\n\v\f\r\xa0\u1680\u2003\u2028\u2029\u202f\u205f\u3000", "a\u0085\u200b\u180e"),
        (r"^\S$", "a.é\u200b", " \n\u2028\xa0\ufeff"),
        (r"^[^\s]$", "a.é\u200b", " \n\u2028\xa0\ufeff"),
        (r"^[^\S]$", " \n\u2028\xa0", "a.é\u200b\u0085"),
        (r"^[\s\S]$", " a\n\u0085\ufeff\u2028", ""),
        ("^[^]$", " a\n\u0085\ufeff\u2028", ""),
        ("^[a-z--b]$", "az-.09AZ_b", ",{"),
        ("^[a~~b]$", "a~b", "c"),
        (r"^[a&&b^]$", "a&b^", "c"),
        ("^[[a]$", "[a", "]"),
        ("^[.]$", ".", "a"),
        (r"^[\s-a]$", " -a", "b."),
        (r"^[\d-x]$", "0-x", "a"),
        (r"^[a-c-e]$", "abc-e", "d"),
        ("^[+--]$", "+,-", "."),
        (r"^[\b]$", "\b", "b"),
        (r"^\<$", "<", "a"),
        (r"^[\u0041-\x43]$", "ABC", "D"),
        (r"^\d$", "09", "\u0661"),
        (r"^\w$", "aZ_0", "é-"),
    ],
)
def test_letters(pattern: str, matching: str, others: str) -> None:
    part = constraint({"type": "string", "pattern": pattern})
    found = [letter for letter in matching + others if accepts(part, json.dumps(letter, ensure_ascii=letter < " "))]
    assert found == list(matching)


def test_a_class_that_is_followed_by_a_bracket() -> None:
    part = constraint({"type": "string", "pattern": "^[[a]]$"})
    assert accepts(part, '"a]"') and accepts(part, '"[]"') and not accepts(part, '"a"')
    keys = constraint({"type": "object", "patternProperties": {"^.$": {}}, "additionalProperties": False})
    assert accepts(keys, '{"a":1}') and not accepts(keys, '{"\u2028":1}')


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (r"\Aa", r"\A is no escape of ECMA-262; use ^"),
        (r"a\z", r"\z is no escape of ECMA-262; use $"),
        (r"\a", r"\a is no escape"),
        (r"\pL", r"\p is no escape"),
        (r"\x{41}", r"\x is no escape"),
        (r"\U00000041", r"\U is no escape"),
        ("(?x) a", "'(?x)' begins no group of ECMA-262"),
        ("(?s:.)", "begins no group of ECMA-262"),
        ("[]a]", "an empty class of letters matches nothing"),
        ("[a", "is not closed"),
        ("a\\", "ends with a backslash"),
    ],
)
def test_what_has_another_meaning_is_refused(pattern: str, words: str) -> None:
    for schema in ({"pattern": pattern}, {"patternProperties": {pattern: {}}, "additionalProperties": False}):
        with pytest.raises(ParameterError) as caught:
            constraint({"properties": {"a": schema}})
        assert "at /properties/a: the pattern " in str(caught.value) and words in str(caught.value)
