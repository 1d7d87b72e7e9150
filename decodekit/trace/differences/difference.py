"""What `decodekit.diff` finds: two traces, the first step where they part, and why."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from decodekit.errors import ParameterError
from decodekit.text.counted import counted
from decodekit.trace.differences.in_words import headline, lines_of_fields, lines_of_sequence, named_streams
from decodekit.trace.differences.parts import Cause, FieldDifference, SequenceDifference

__all__ = ["Difference"]

_MOST_NAMES = 5


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
        return next((each for each in self.sequences if each.stream_a == self.stream_a), None)

    def only(self, stream: int) -> Difference:
        """The same of one pair of sequences alone.

        Args:
            stream: that of the first trace.

        Raises:
            ParameterError: it is in no pair.
        """
        pair = next((each for each in self.sequences if each.stream_a == stream), None)
        if pair is None:
            raise ParameterError(f"stream {stream} of the first trace is not beside one of the second")
        parted = pair.cause != "none"
        return replace(
            self, equal=not parted, cause=pair.cause, where=pair.where, step=pair.step,
            why=pair.why or self.unimportant,
            stream_a=pair.stream_a if parted else None, stream_b=pair.stream_b if parted else None,
            sequences=(pair,), only_a=(), only_b=(),
            fields=tuple(replace(each, mattered=each.field == pair.where) for each in self.fields),
        )  # fmt: skip

    @property
    def unimportant(self) -> str:
        """What is equal in the headers, and what differs and did not matter, in a sentence."""
        names = [field.field for field in self.fields if not field.mattered]
        equal = [part for part in ("seed", "chain", "prompts") if not any(name.startswith(part) for name in names)]
        if not names:
            return "the headers are equal"
        more = f" and {len(names) - _MOST_NAMES} other fields" if len(names) > _MOST_NAMES else ""
        verb = "differs" if len(names) == 1 else "differ"
        told = f"{', '.join(names[:_MOST_NAMES])}{more} {verb}, and did not matter"
        return f"{', '.join(equal)} equal; {told}" if equal else told

    def to_dict(self) -> dict[str, Any]:
        """As plain data that JSON can hold: an infinite number is the text 'inf' or '-inf'."""
        data: dict[str, Any] = _plain(asdict(self))
        return data

    def lines(self, *, everything: bool = False) -> list[str]:
        """The story as lines of text, made safe to show: the answer first.

        Args:
            everything: every pair of sequences; otherwise the one that parts first.
        """
        first = self.first or next(iter(self.sequences), None)
        shown = self.sequences if everything else () if first is None else (first,)
        lines = [headline(self.equal, self.cause, self.where, self.step, self.why)]
        for sequence in shown:
            lines += lines_of_sequence(sequence, named=sequence is first)
        hidden = sum(each.cause != "none" for each in self.sequences) - sum(each.cause != "none" for each in shown)
        lines += [f"  {counted(hidden, 'more sequence')} with other tokens"] if hidden else []
        lines += lines_of_fields(self.fields)
        for name, streams in (("first", self.only_a), ("second", self.only_b)):
            lines += [f"  only in the {name}: {named_streams(streams)}"] if streams else []
        return [*lines, *(f"  note: {note}" for note in self.notes)]

    def __repr__(self) -> str:
        if self.equal:
            number = len(self.fields)
            return f"Difference(equal tokens, {counted(number, 'field')} of the headers differ)"
        at = "" if self.step is None else f" at step {self.step}"
        return f"Difference({self.cause}: {self.where}{at})"

    def __str__(self) -> str:
        return "\n".join(self.lines())


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
