"""Why one of two sequences ended where the other went on."""

from __future__ import annotations

from collections.abc import Sequence

from decodekit.errors import brief
from decodekit.trace.differences.parts import FieldDifference
from decodekit.trace.differences.reasons import Reason
from decodekit.trace.opened import Opened

__all__ = ["reasons_to_end"]

_UNTOLD = {
    "tool_calls": "the provider's model called tools",
    "stop": "by `until`, which is not recorded, or by another end of text",
    "length": "by a limit that is not recorded",
    "context": "its context was full",
    "deadline": "its deadline had passed",
    "cancelled": "it was cancelled",
    "error": "it ended in an error",
    "incomplete": "no end is recorded: the run was killed, or goes on",
}


def reasons_to_end(
    run: Opened, stream: int, last: int | None, other: Opened, fields: Sequence[FieldDifference]
) -> list[Reason]:
    """Why this sequence ended before the other: a setting that differs, or else the reason of its end.

    Args:
        run, stream: the sequence that ended.
        last: its last token; None where it has none.
        other: the run of the one that went on.
        fields: in which the headers differ.
    """
    ended, error = run.finish_reason(stream)
    differ = {each.field: each for each in fields}
    found = []
    for name in _settings(run, last, other, ended):
        if name in differ:
            field = differ[name]
            found.append(Reason("configuration", name, f"{name} is {brief(field.a)} and {brief(field.b)}", field))
    told = f"{run.name} ended as {ended!r}" + ("" if found else f": {_UNTOLD[ended]}")
    return [*found, Reason("end", ended, told + (f", {brief(error)}" if error else ""))]


def _settings(run: Opened, last: int | None, other: Opened, ended: str) -> list[str]:
    """The settings that end a sequence so."""
    if ended == "length":
        return ["stop.max_tokens"]
    if ended == "error" and run.header.on_undisclosed == "error":
        return ["on_undisclosed"]
    if ended != "stop":
        return []
    stops = [list(each.header.stop.get("ids") or ()) for each in (run, other)]
    return ["stop.ids"] if last in stops[0] and last not in stops[1] else ["stop.strings", "stop.ids"]
