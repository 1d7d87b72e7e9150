"""What a distribution holds: its parts and its labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from decodekit.distribution.hidden import Hidden
from decodekit.distribution.row import Row

__all__ = ["Fields", "Origin", "Schedule", "Stage", "filled"]

Origin = Literal["logits", "logprobs"]
Stage = Literal["raw", "processed", "unknown"]
Schedule = Mapping[str, int | str]


class Fields:
    """The fields of a `Distribution`, which documents them. They can be set here, but not there; see `Frozen`."""

    __slots__ = ("__dict__", "__weakref__", "ambiguous", "hidden", "origin", "row", "schedule", "stage", "temperature")

    row: Row
    hidden: Hidden | None
    origin: Origin
    stage: Stage
    temperature: float
    schedule: Schedule | None
    ambiguous: bool

    def parts_and_labels(self) -> tuple[Row, Hidden | None, Origin, Stage, float, Schedule | None]:
        """All fields but ``ambiguous``, in the order of `filled`."""
        return self.row, self.hidden, self.origin, self.stage, self.temperature, self.schedule

    def __reduce__(self) -> tuple[Any, ...]:
        return filled, (type(self), *self.parts_and_labels(), self.ambiguous)


Made = TypeVar("Made", bound=Fields)


def filled(
    kind: type[Made],
    row: Row,
    hidden: Hidden | None,
    origin: Origin,
    stage: Stage,
    temperature: float,
    schedule: Schedule | None,
    ambiguous: bool = False,
) -> Made:
    """An instance of a class that adds no fields to these."""
    made = Fields()
    made.row = row
    made.hidden = hidden
    made.origin = origin
    made.stage = stage
    made.temperature = temperature
    made.schedule = schedule
    made.ambiguous = ambiguous
    made.__class__ = kind
    return made  # type: ignore[return-value]  # of this class now
