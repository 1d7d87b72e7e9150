"""The sequences of one question are drawn together, and where one round answered several callers, all of theirs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from decodekit.chain.batch import Drawn, StepRow, draw_rows
from decodekit.model.company import Member
from decodekit.model.drawn import Taken

__all__ = ["Drawing", "draw_for_all", "draw_together"]

Row = StepRow | None


class Drawing(Protocol):
    """A caller whose rows may be drawn together with those of others."""

    def shared_rows(self, answers: Sequence[Taken]) -> list[Row]:
        """The row of each answer; None for one that its caller must take alone. Changes nothing."""


def draw_together(rows: Sequence[Row]) -> list[Drawn | None]:
    """What is drawn from each row, for `Decoder.feed`; None for one that is fed without."""
    drawn: list[Drawn | None] = [None] * len(rows)
    found = {i: row for i, row in enumerate(rows) if row is not None}
    if len(found) > 1:
        for i, each in zip(found, draw_rows(list(found.values())), strict=True):
            drawn[i] = each
    return drawn


def draw_for_all(members: Sequence[Member]) -> list[list[Drawn | None]]:
    """What is drawn for each caller of a round. Where that fails, each draws alone, and the cause fails alone."""
    counts = [len(member.answers) for member in members]
    try:
        drawn = draw_together([row for member in members for row in member.caller.shared_rows(member.answers)])
    except Exception:
        return [[None] * count for count in counts]
    rest = iter(drawn)
    return [[next(rest) for _ in range(count)] for count in counts]
