"""Whether a vocabulary can write any value of a schema: some have no token for a brace, or for a bracket."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from decodekit_grammar.keywords import parts

__all__ = ["is_writable", "places_without_text"]

_MOST_PASSES = 100  # over all schemas in a schema; one that needs more is not judged

_DIGITS = "0123456789"
_TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")

_Has = Callable[[str], bool]  # whether all characters of a text can be written
_Known = Callable[[Any], bool]  # whether a schema is known to have a value that can be written


def is_writable(schema: Mapping[str, Any], missing: frozenset[int]) -> bool:
    """Whether a text of a schema may be written; False where certainly none can be, True where that is not known.

    Args:
        schema: a JSON Schema.
        missing: the bytes that no token has.
    """
    return "" not in places_without_text(dict(parts(schema)), missing)


def places_without_text(places: Mapping[str, Mapping[str, Any]], missing: frozenset[int] = frozenset()) -> list[str]:
    """The places of the schemas of which certainly no text that ends can be written, the outer ones first.

    The schemas with such a text are found from the inside out: first those that need no other, then those that need
    only these, and so on. A schema that needs itself without an end is never found.

    Args:
        places: every schema in a schema, by its place.
        missing: the bytes that no token has.
    """
    targets: dict[str, Any] = {}
    if not any(place and "$id" in part for place, part in places.items()):  # else there are several documents
        for place, part in places.items():
            targets[f"#{place}"] = part
            targets[f"#{part.get('$anchor')}"] = targets[str(part.get("$id"))] = part
    found: set[int] = set()

    def has(text: str) -> bool:
        return missing.isdisjoint(text.encode())

    def known(part: Any) -> bool:
        return not isinstance(part, Mapping) or not part or id(part) in found

    def reached(part: Mapping[str, Any]) -> bool:
        ref = part.get("$ref")
        target = targets.get(unquote(ref), True) if isinstance(ref, str) else True
        return known(target) and _has_value(part, has, known)

    inner_first = list(reversed(list(places.values())))
    for _ in range(_MOST_PASSES):
        before = len(found)
        for part in inner_first:
            if id(part) not in found and reached(part):
                found.add(id(part))
        if len(found) == before:
            return [place for place, part in places.items() if not known(part)]
    return []


def _has_value(part: Mapping[str, Any], has: _Has, known: _Known) -> bool:
    """Whether each keyword of a schema leaves a value that can be written."""
    if "const" in part and not _any_written([part["const"]], has):
        return False
    if isinstance(part.get("enum"), list) and not _any_written(part["enum"], has):
        return False
    for key in ("anyOf", "oneOf"):
        if isinstance(part.get(key), list) and not any(map(known, part[key])):
            return False
    if isinstance(part.get("allOf"), list) and not all(map(known, part["allOf"])):
        return False
    types = part.get("type", _TYPES)
    return any(_of_type(name, part, has, known) for name in ([types] if isinstance(types, str) else types))


def _any_written(values: Iterable[Any], has: _Has) -> bool:
    return any(has(json.dumps(value, ensure_ascii=False, separators=(",", ":"))) for value in values)


def _of_type(name: str, part: Mapping[str, Any], has: _Has, known: _Known) -> bool:
    """Whether a value of this type can be written."""
    if name == "object":
        return has("{}") and _has_keys(part, has, known)
    if name == "array":
        return has("[]") and _has_items(part, has, known)
    words = {"null": ["null"], "boolean": ["true", "false"], "string": ['""']}
    return any(map(has, words.get(name, _DIGITS)))


def _has_keys(part: Mapping[str, Any], has: _Has, known: _Known) -> bool:
    """Whether the required keys and their values can be written."""
    required = part.get("required")
    names = list(dict.fromkeys(required)) if isinstance(required, list) else []
    named = part.get("properties")
    schemas = named if isinstance(named, Mapping) else {}
    others = True if part.get("patternProperties") else part.get("additionalProperties", True)
    if len(names) > 1 and not has(","):
        return False
    return all(has(json.dumps(key, ensure_ascii=False) + ":") and known(schemas.get(key, others)) for key in names)


def _has_items(part: Mapping[str, Any], has: _Has, known: _Known) -> bool:
    """Whether as many items as there must be can be written."""
    least, items = part.get("minItems", 0), part.get("items", True)
    first = items if isinstance(items, list) else part.get("prefixItems", [])
    others = part.get("additionalItems", True) if isinstance(items, list) else items
    if not isinstance(least, int) or not isinstance(first, list):
        return True
    if least > 1 and not has(","):
        return False
    return all(map(known, first[:least])) and (least <= len(first) or known(others))
