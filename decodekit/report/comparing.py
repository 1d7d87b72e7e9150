"""Two traces in one report: where they part, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from decodekit.errors import DecodekitError
from decodekit.report.sources import Source
from decodekit.text.safe_text import safe_text
from decodekit.trace.differences.difference import Difference
from decodekit.trace.differences.diffing import diff
from decodekit.trace.differences.in_words import STAGE_HEADINGS, headline, stage_cells

__all__ = ["difference_of"]

_MOST_FIELDS = 12

Places = Mapping[tuple[int, int], int]
"""Where in the page's columns a step stands, by stream and index."""


def difference_of(sources: Sequence[Source], places: Sequence[Places]) -> dict[str, Any] | None:
    """How two traces differ, as data for the page; None if there are not two."""
    if len(sources) != 2:
        return None
    try:
        found = diff(sources[0].trace, sources[1].trace, tokenizer=sources[0].tokenizer)
    except DecodekitError as error:
        why = f"they cannot be compared: {error}"
        return {"equal": False, "why": safe_text(why), "fields": [], "stages": [], "notes": [], "a": None, "b": None}
    return _told(found, places)


def _told(found: Difference, places: Sequence[Places]) -> dict[str, Any]:
    first = found.first
    parting = first.parting if first is not None else None
    at: list[int | None] = [None, None]
    if first is not None and first.step is not None:
        at = [places[0].get((first.stream_a, first.step)), places[1].get((first.stream_b, first.step))]
    fields = sorted(found.fields, key=lambda field: not field.mattered)
    more = [f"and {len(fields) - _MOST_FIELDS} other fields differ"] if len(fields) > _MOST_FIELDS else []
    nothing = ["nothing differs: it is the same run twice"] if found.equal and not fields else []
    also = [] if first is None else [f"also: {why}" for why in first.also]
    return {
        "equal": found.equal,
        "why": headline(found.equal, found.cause, found.where, found.step, found.why),
        "fields": [
            {"field": safe_text(each.field), "a": _brief(each.a), "b": _brief(each.b), "mattered": each.mattered}
            for each in fields[:_MOST_FIELDS]
        ],
        "stages": [STAGE_HEADINGS, *map(stage_cells, parting.stages)] if parting is not None and parting.stages else [],
        "notes": [safe_text(note) for note in [*nothing, *also, *more, *found.notes]],
        "a": at[0],
        "b": at[1],
    }


def _brief(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return safe_text(text if len(text) <= 80 else f"{text[:77]}...")
