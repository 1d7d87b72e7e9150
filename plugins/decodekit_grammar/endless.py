"""Schemas that no finite text satisfies, because what they require requires itself again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from decodekit import ParameterError

__all__ = ["require_end"]

_MOST_PASSES = 100  # over all schemas in a schema; one that needs more is not judged


def require_end(places: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise `ParameterError` for a schema in a schema whose values never end, with the place of what comes again.

    Args:
        places: every schema in a schema, by its place, the outer ones first.
    """
    if not any("$ref" in part for part in places.values()):
        return
    ends = _Ends(places)
    endless = [place for place, part in places.items() if not ends.of(part)]
    if endless:
        place = next((each for each in endless if _refers_around_itself(each, places[each])), endless[-1])
        raise ParameterError(
            f"at {place or 'its root'}: no text of it ends, since it requires itself again and again; make it optional "
            "or nullable"
        )


def _refers_around_itself(place: str, part: Mapping[str, Any]) -> bool:
    """Whether it refers to a schema that it is in."""
    ref = part.get("$ref")
    return isinstance(ref, str) and place.startswith(ref.removeprefix("#"))


class _Ends:
    """Which schemas have a value that ends: the smallest set that is closed under the keywords.

    Args:
        places: every schema in a schema, by its place.
    """

    def __init__(self, places: Mapping[str, Mapping[str, Any]]) -> None:
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
        """Whether a schema has a value that ends; True where that is not judged."""
        return self._all or not isinstance(part, Mapping) or id(part) in self._known

    def _judged(self, part: Mapping[str, Any]) -> bool:
        """Whether it has one if those that are known so far do."""
        if "$ref" in part and not self.of(self._targets.get(unquote(str(part["$ref"])))):
            return False
        for key, enough in (("anyOf", any), ("oneOf", any), ("allOf", all)):
            branches = part.get(key)
            if isinstance(branches, list) and branches and not enough(map(self.of, branches)):
                return False
        if "const" in part or "enum" in part:
            return True
        kinds = part.get("type")
        kinds = kinds if isinstance(kinds, list) else [kinds]
        ways = {"object": self._object, "array": self._array}
        return any(kind not in ways or ways[kind](part) for kind in kinds)

    def _object(self, part: Mapping[str, Any]) -> bool:
        named, required = part.get("properties"), part.get("required")
        if not isinstance(named, Mapping) or not isinstance(required, list):
            return True
        return all(self.of(named.get(key, part.get("additionalProperties"))) for key in required)

    def _array(self, part: Mapping[str, Any]) -> bool:
        least, items = part.get("minItems", 0), part.get("items")
        if not isinstance(least, int):
            return True
        first = part.get("prefixItems", items if isinstance(items, list) else [])
        rest = part.get("additionalItems") if isinstance(items, list) else items
        return all(map(self.of, first[:least])) and (least <= len(first) or self.of(rest))
