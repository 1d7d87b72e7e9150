"""Why one of two sequences ended where the other went on."""

from __future__ import annotations

from collections.abc import Sequence

from decodekit.errors import brief
from decodekit.trace.difference_parts import FieldDifference
from decodekit.trace.pairing import Run
from decodekit.trace.reasons import Reason

__all__ = ["reasons_to_end"]

_UNTOLD = {
    "stop": "by `until`, which is not recorded, or by another end of text",
    "length": "by a limit that is not recorded",
    "context": "its context was full",
    "deadline": "its deadline had passed",
    "cancelled": "it was cancelled",
    "error": "it ended in an error",
    "incomplete": "no end is recorded: the run was killed, or goes on",
}


def reasons_to_end(run: Run, stream: int, other: Run, fields: Sequence[FieldDifference]) -> list[Reason]:
    """Why this sequence ended before the other: a setting that differs, or else the reason of its end.

    Args:
        run, stream: the sequence that ended.
        other: the run of the one that went on.
        fields: in which the headers differ.
    """
    ended = run.finish_reason(stream)
    differ = {each.field: each for each in fields}
    found = []
    for name in _settings(run, stream, other, ended):
        if name in differ:
            field = differ[name]
            found.append(Reason("configuration", name, f"{name} is {brief(field.a)} and {brief(field.b)}", field))
    end = run.end(stream)
    told = f"{run.name} ended as {ended!r}" + ("" if found else f": {_UNTOLD[ended]}")
    if end is not None and end.error:
        told += f", {brief(end.error)}"
    return [*found, Reason("end", ended, told)]


def _settings(run: Run, stream: int, other: Run, ended: str) -> list[str]:
    """The settings that end a sequence so."""
    if ended == "length":
        return ["stop.max_tokens"]
    if ended == "error" and run.header.on_undisclosed == "error":
        return ["on_undisclosed"]
    if ended != "stop":
        return []
    steps = run.steps[stream]
    last = steps[-1].token_id if steps else None
    if last in _ids(run) and last not in _ids(other):
        return ["stop.ids"]
    return ["stop.strings", "stop.ids"]


def _ids(run: Run) -> list[int]:
    return list(run.header.stop.get("ids") or ())
