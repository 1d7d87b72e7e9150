"""Which schemas have a value that ends and that a vocabulary can write: some have no token for a brace or a bracket."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from decodekit_grammar.keywords import parts

__all__ = ["Writable", "is_writable"]

_MOST_PASSES = 100  # over all schemas in a schema; one that needs more is not judged
_TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
_DIGITS = "0123456789"
_WORDS: Mapping[str, Iterable[str]] = {"null": ["null"], "boolean": ["true", "false"], "string": ['""']}


def is_writable(schema: Mapping[str, Any], missing: frozenset[int]) -> bool:
    """Whether a text of a schema may be written; False where certainly none can be.

    Args:
        schema: a JSON Schema.
        missing: the bytes that no token has.
    """
    return Writable(dict(parts(schema)), missing).of(schema)


class Writable:
    """Which schemas in a schema have a value: the smallest set that is closed under the keywords.

    They are found from the inside out: first those that need no other, then those that need only these, and so on. A
    schema that requires itself without an end is never found.

    Args:
        places: every schema in a schema, by its place, the outer ones first.
        missing: the bytes that no token has.
    """

    def __init__(self, places: Mapping[str, Mapping[str, Any]], missing: frozenset[int] = frozenset()) -> None:
        self._missing = missing
        self._targets: dict[str, Mapping[str, Any]] = {}
        if not any(place and "$id" in part for place, part in places.items()):  # else there are several documents
            for place, part in places.items():
                self._targets[f"#{place}"] = part
                if "$anchor" in part:
                    self._targets[f"#{part['$anchor']}"] = part
        self._known: set[int] = set()
        self._all = False
        inner_first = list(reversed(list(places.values())))
        for _ in range(_MOST_PASSES):
            before = len(self._known)
            self._known.update(id(part) for part in inner_first if id(part) not in self._known and self._judged(part))
            if len(self._known) == before:
                return
        self._all = True

    def of(self, part: Any) -> bool:
        """Whether a schema has a value; True where that is not judged."""
        if self._all or not isinstance(part, Mapping):
            return part is not False
        return not part or id(part) in self._known

    def _judged(self, part: Mapping[str, Any]) -> bool:
        """Whether it has one if those that are known so far do."""
        if "$ref" in part and not self.of(self._targets.get(unquote(str(part["$ref"])))):
            return False
        for key, enough in (("anyOf", any), ("oneOf", any), ("allOf", all)):
            branches = part.get(key)
            if isinstance(branches, list) and branches and not enough(map(self.of, branches)):
                return False
        if "const" in part or "enum" in part:
            values = [part["const"]] if "const" in part else part["enum"]
            return not isinstance(values, list) or any(map(self._has_json, values))
        kinds = part.get("type", _TYPES)
        return any(self._of_type(kind, part) for kind in ([kinds] if isinstance(kinds, str) else kinds))

    def _has(self, text: str) -> bool:
        """Whether there are tokens for these characters."""
        return self._missing.isdisjoint(text.encode())

    def _has_json(self, value: Any) -> bool:
        return self._has(json.dumps(value, ensure_ascii=False, separators=(",", ":")))

    def _of_type(self, kind: Any, part: Mapping[str, Any]) -> bool:
        if kind == "object":
            return self._has("{}") and self._object(part)
        if kind == "array":
            return self._has("[]") and self._array(part)
        return any(map(self._has, _WORDS.get(kind, _DIGITS)))

    def _object(self, part: Mapping[str, Any]) -> bool:
        named, required = part.get("properties", {}), part.get("required")
        if not isinstance(named, Mapping) or not isinstance(required, list):
            return True
        keys = dict.fromkeys(required)
        others = True if part.get("patternProperties") else part.get("additionalProperties")
        if len(keys) > 1 and not self._has(","):
            return False
        return all(self._has_json(key) and self._has(":") and self.of(named.get(key, others)) for key in keys)

    def _array(self, part: Mapping[str, Any]) -> bool:
        least, items = part.get("minItems", 0), part.get("items")
        first = items if isinstance(items, list) else part.get("prefixItems", [])
        if not isinstance(least, int) or not isinstance(first, list):
            return True
        if least > 1 and not self._has(","):
            return False
        others = part.get("additionalItems") if isinstance(items, list) else items
        return all(map(self.of, first[:least])) and (least <= len(first) or self.of(others))
