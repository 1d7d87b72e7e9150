"""Schemas that no finite text satisfies, because what they require requires itself again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from decodekit import ParameterError
from decodekit_grammar.writable import places_without_text

__all__ = ["require_end"]


def require_end(places: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise `ParameterError` for a schema in a schema whose values never end, with the place of what comes again.

    Args:
        places: every schema in a schema, by its place, the outer ones first.
    """
    if not any("$ref" in part for part in places.values()):
        return
    endless = places_without_text(places)
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
