"""Branches of oneOf: where no value satisfies two of them it is the same as anyOf, which llguidance takes.

llguidance itself sees this for types and for texts. Here it is also seen for numbers, bounds, and required properties
whose values differ.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cached_property
from itertools import combinations
from typing import Any

from decodekit_grammar.keywords import parts

__all__ = ["Branches", "with_required_tags"]

_MOST_BRANCHES = 64  # each is compared with each
_DEEPEST = 8
_TYPES = frozenset(("null", "boolean", "object", "array", "string", "integer", "fraction"))

_MOST_PAIRS = 20_000  # of a whole schema: about 0.2 s


def with_required_tags(schema: Any) -> Any:
    """A schema of pydantic in which each branch of a tagged union requires its tag, as pydantic does."""
    tags: dict[int, str] = {}
    for _, part in parts(schema):
        about, branches = part.get("discriminator"), part.get("oneOf")
        if isinstance(about, Mapping) and isinstance(branches, list):
            for branch in branches:
                model = _at(schema, branch["$ref"]) if "$ref" in branch else branch
                tags[id(model)] = str(about.get("propertyName"))
    for _, part in parts(schema):
        tag = tags.get(id(part))
        if tag in part.get("properties", {}) and tag not in part.get("required", []):
            part["required"] = [tag, *part.get("required", [])]  # type: ignore[index]
    return schema


def _at(schema: Any, ref: Any) -> Any:
    """What a reference to a definition means; None for others."""
    steps = str(ref).split("/")
    if len(steps) != 3 or steps[0] != "#" or steps[1] not in ("$defs", "definitions"):
        return None
    defs = schema.get(steps[1]) if isinstance(schema, Mapping) else None
    return defs.get(steps[2].replace("~1", "/").replace("~0", "~")) if isinstance(defs, Mapping) else None


class Branches:
    """The branches in a schema.

    Args:
        schema: the whole one.
    """

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self._left = _MOST_PAIRS

    def separate(self, part: dict[str, Any]) -> dict[str, Any]:
        """One schema of the whole, with anyOf in place of a oneOf of which no value can satisfy two branches."""
        branches = part.get("oneOf")
        if not isinstance(branches, list) or not 0 < len(branches) <= _MOST_BRANCHES or "anyOf" in part:
            return part
        if not all(self._apart(one, other) for one, other in combinations(branches, 2)):
            return part
        return {("anyOf" if key == "oneOf" else key): value for key, value in part.items()}

    @cached_property
    def _root(self) -> Any:
        """What references are looked up in; None where they may be of another document."""
        return None if any(place and "$id" in part for place, part in parts(self._schema)) else self._schema

    def _apart(self, one: Any, other: Any, depth: int = 0) -> bool:
        """Whether it is certain that no value satisfies both."""
        one, other = self._found(one), self._found(other)
        self._left -= 1
        if one is False or other is False:
            return True
        if depth == _DEEPEST or self._left < 0 or not isinstance(one, Mapping) or not isinstance(other, Mapping):
            return False
        types = _types(one) & _types(other)
        values = _values(one), _values(other)
        if not types or (values[0] is not None and values[1] is not None and not values[0] & values[1]):
            return True
        if types <= {"integer", "fraction"} and (_below(one, other) or _below(other, one)):
            return True
        if types == {"object"} and self._told_apart(one, other, depth):
            return True
        return self._in_parts(one, other, depth) or self._in_parts(other, one, depth)

    def _in_parts(self, one: Mapping[str, Any], other: Mapping[str, Any], depth: int) -> bool:
        """Whether the branches of one of them say so."""
        for key, enough in (("anyOf", all), ("oneOf", all), ("allOf", any)):
            each = one.get(key)
            if isinstance(each, list) and each and enough(self._apart(part, other, depth + 1) for part in each):
                return True
        return False

    def _told_apart(self, one: Mapping[str, Any], other: Mapping[str, Any], depth: int) -> bool:
        """Whether a property that both require has no value in common."""
        named = one.get("properties"), other.get("properties")
        if not isinstance(named[0], Mapping) or not isinstance(named[1], Mapping):
            return False
        both = set(_required(one)) & set(_required(other))
        return any(self._apart(named[0].get(key), named[1].get(key), depth + 1) for key in sorted(both))

    def _found(self, part: Any) -> Any:
        """What a schema that is a reference alone refers to."""
        for _ in range(_DEEPEST):
            if not isinstance(part, Mapping) or set(part) - {"description", "title"} != {"$ref"}:
                break
            part = _at(self._root, part["$ref"])
        return part


def _required(part: Mapping[str, Any]) -> list[str]:
    required = part.get("required")
    return [each for each in required if isinstance(each, str)] if isinstance(required, list) else []


def _types(part: Mapping[str, Any]) -> frozenset[str]:
    """The types of the values that a schema may allow."""
    values, given = _values(part), part.get("type")
    names = _TYPES if given is None else frozenset(given if isinstance(given, list) else [given])
    names = names - {"number"} | {"integer", "fraction"} if "number" in names else names
    return names if values is None else names & {_type(json.loads(value)) for value in values}


def _values(part: Mapping[str, Any]) -> frozenset[str] | None:
    """The values that a schema names, as JSON texts that are equal where they are; None where it names none."""
    if "const" in part:
        return frozenset([_text(part["const"])])
    return frozenset(map(_text, part["enum"])) if isinstance(part.get("enum"), list) else None


def _text(value: Any) -> str:
    return json.dumps(_whole(value), sort_keys=True)


def _whole(value: Any) -> Any:
    """The value with 1 for 1.0: they are one number."""
    if isinstance(value, list):
        return [_whole(each) for each in value]
    if isinstance(value, Mapping):
        return {key: _whole(each) for key, each in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _type(value: Any) -> str:
    for kind, name in ((bool, "boolean"), (int, "integer"), (float, "fraction"), (str, "string"), (list, "array")):
        if isinstance(value, kind):
            return name
    return "null" if value is None else "object"


def _below(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether every number of one schema is smaller than every number of the other."""
    highs, lows = _bounds(one, "maximum", "exclusiveMaximum"), _bounds(other, "minimum", "exclusiveMinimum")
    values = _named_numbers(one), _named_numbers(other)
    highs = (min(highs[0], max(values[0], default=math.inf)), highs[1])
    lows = (max(lows[0], min(values[1], default=-math.inf)), lows[1])
    most, least = min(highs), max(lows)
    return most < least or (most == least and (most == highs[1] or least == lows[1]))


def _bounds(part: Mapping[str, Any], closed: str, opened: str) -> tuple[float, float]:
    """The bound that a number may reach, and the one that it may not."""
    none = math.inf if closed == "maximum" else -math.inf
    given = part.get(closed), part.get(opened)
    numbers: list[Any] = [each if _type(each) in ("integer", "fraction") else none for each in given]
    return numbers[0], numbers[1]


def _named_numbers(part: Mapping[str, Any]) -> list[float]:
    values = [json.loads(value) for value in _values(part) or ()]
    return [value for value in values if _type(value) in ("integer", "fraction")]
