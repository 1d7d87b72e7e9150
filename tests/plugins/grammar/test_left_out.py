"""Valid texts that a constraint leaves out, as docs/constraints.md lists them, each beside one that it allows."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

pytest.importorskip("llguidance")

from decodekit import processor
from tests.plugins.grammar.models import accepts

NAMED = {"type": "object", "properties": {"a": {}}}


@pytest.mark.parametrize(
    ("schema", "allowed", "left_out"),
    [
        ({"type": "object", "properties": {"b": {}, "a": {}}}, '{"b":1,"a":1}', ['{"a":1,"b":1}']),
        ({"type": "integer"}, "1000", ["1e3", "1000.0"]),
        ({"enum": [1.5, 100, 0]}, "1.5", ["1.50", "15e-1", "1e2", "-0", "0.0"]),
        ({"type": "number"}, "1e5", []),
        ({"type": "number"}, "-0.10", []),
        ({"type": "number", "minimum": 0}, "100000", ["1e5", "-0", "-0.0"]),
        ({"type": "number", "maximum": 0.1}, "0.1", ["0.10", "-1e5"]),
        ({"type": "number", "maximum": 1}, "0.10", []),
        ({"type": "number", "minimum": -1}, "-0.5", ["-0.50"]),
        ({"type": "number", "multipleOf": 0.5}, "1.5", ["1.50", "1e0"]),
        ({"type": "number", "multipleOf": 0.25}, "0.50", ["0.5", "0.500"]),
        ({"type": "string"}, '"\\n\\u0001\\u007fé/"', ['"\\/"', '"\\u00e9"', '"\\ud83d\\ude00"', '"\x7f"']),
        ({"type": "object"}, '{"b\\n":1}', ['{"\\u0061":1}']),
        (NAMED, '{"bé":1}', ['{"b\\n":1}', '{"a\\"":1}', '{"c\\\\":1}']),
        ({"type": "array"}, "[1]", [" [1]", "[1] ", "[  1]", "[\n\n1]", "[\t1]"]),
    ],
    ids=str,
)
def test_the_list_is_right(schema: dict[str, Any], allowed: str, left_out: list[str]) -> None:
    part = processor("json_schema", json_schema=schema, forcing="free")
    assert accepts(part, allowed)
    for text in left_out:
        jsonschema.validate(json.loads(text), schema)
        assert not accepts(part, text), text
