"""What `decodekit.diff` finds: two traces, the first step where they part, and why."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from decodekit.trace.difference_parts import Cause, FieldDifference, SequenceDifference
from decodekit.trace.difference_text import headline, lines_of_fields, lines_of_sequence

__all__ = ["Difference"]


@dataclass(frozen=True)
class Difference:
    """How two traces differ. As text with ``str``.

    Args:
        equal: whether all tokens are equal.
        cause, where, step, why: of the sequence that parts first, as of `SequenceDifference`; 'none', '', None and what
            differs all the same, if none does.
        stream_a, stream_b: that sequence; None if none parts.
        fields: every field of the headers that differs.
        sequences: each pair of sequences, in the order of the first trace.
        only_a, only_b: the streams of sequences that the other trace has no partner for.
        notes: what was not recorded, or cannot be compared.
    """

    equal: bool
    cause: Cause
    where: str
    step: int | None
    why: str
    stream_a: int | None
    stream_b: int | None
    fields: tuple[FieldDifference, ...]
    sequences: tuple[SequenceDifference, ...]
    only_a: tuple[int, ...]
    only_b: tuple[int, ...]
    notes: tuple[str, ...]

    @property
    def first(self) -> SequenceDifference | None:
        """The sequence that parts first; None if none does."""
        found = (each for each in self.sequences if each.stream_a == self.stream_a)
        return next(found, None) if self.stream_a is not None else None

    def to_dict(self) -> dict[str, Any]:
        """As plain data that JSON can hold: an infinite number is the text 'inf' or '-inf'."""
        data: dict[str, Any] = _plain(asdict(self))
        return data

    def __repr__(self) -> str:
        if self.equal:
            return f"Difference(equal tokens, {len(self.fields)} fields differ)"
        at = "" if self.step is None else f" at step {self.step}"
        return f"Difference({self.cause}: {self.where}{at})"

    def __str__(self) -> str:
        lines = [headline(self.equal, self.cause, self.where, self.step, self.why)]
        first = self.first or next(iter(self.sequences), None)
        lines += [] if first is None else lines_of_sequence(first)
        lines += lines_of_fields(self.fields)
        for name, streams in (("first", self.only_a), ("second", self.only_b)):
            lines += [f"  only in the {name}: streams {', '.join(map(str, streams))}"] if streams else []
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
