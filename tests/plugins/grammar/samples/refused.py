"""Schemas that no constraint is made of, each with the word that the message names and its place."""

from __future__ import annotations

from typing import Any

from tests.plugins.grammar.samples.sample import INT, STR, arr, obj

__all__ = ["REFUSED"]

_A, _B = {"properties": {"a": INT}}, {"properties": {"b": INT}}
REFUSED: list[tuple[dict[str, Any], str, str]] = [
    (obj(tags=arr(STR, uniqueItems=True)), "uniqueItems", "/properties/tags"),
    (obj(a={"not": {"const": ""}}), "not", "/properties/a"),
    ({"type": "object", "if": _A, "then": _B}, "then", "its root"),
    (obj(a=arr(INT, contains={"const": 1})), "contains", "/properties/a"),
    ({**obj("-", a=INT, b=INT), "dependentRequired": {"a": ["b"]}}, "dependentRequired", "its root"),
    ({"type": "object", "propertyNames": {"maxLength": 3}}, "propertyNames", "its root"),
    ({**obj(a=INT), "unevaluatedProperties": False}, "unevaluatedProperties", "its root"),
    ({"oneOf": [_A, _B]}, "oneOf", "its root"),
    (obj(a={"type": "string", "pattern": "^(?!x)"}), "look-around", "/properties/a"),
    (obj(a={"type": "string", "pattern": r"(a)\1"}), "backreference", "/properties/a"),
    (obj(a={"type": "string", "format": "path"}), "path", "/properties/a"),
    (obj(a={"$ref": "https://example.com/a.json"}), "https://example.com/a.json", "/properties/a"),
    (obj(a={"$ref": "#/components/schemas/A"}), "/components/schemas/A", "/properties/a"),
    (obj(a={"type": "string", "minLength": 3, "maxLength": 2}), "minLength", "/properties/a"),
    (obj(a={"type": "integer", "minimum": 1.2, "maximum": 1.8}), "contains no integer", "/properties/a"),
    ({"additionalProperties": False, "patternProperties": {"a*": INT, "b*": STR}}, "patternProperty", "its root"),
    (obj(a={"type": "integer", "multipleOf": 1_000_003}), "multipleOf", "/properties/a"),
    ({"allOf": [{"multipleOf": 97}, {"multipleOf": 101}, {"multipleOf": 103}]}, "multipleOf", "its root"),
    (obj(a={"type": "text"}), "text", "/properties/a"),
    ({"type": "object", "properties": [], "required": "a"}, "properties", "its root"),
]
