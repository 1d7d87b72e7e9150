"""The table of a step's story: its leading tokens, with their probability at each stage that has room."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from decodekit.text.safe_text import safe_text
from decodekit.trace.stages import share_text
from decodekit.view.story import StepStory

__all__ = ["NARROW", "fitting", "stage_table"]

NARROW = 60  # below this, columns are as slim as their numbers
_TOKEN_COLUMN = 20
_STAGE_COLUMN = 13  # the widest name that is not wrapped, and a gap
_SLIM_TOKEN_COLUMN = 17
_SLIM_STAGE_COLUMN = 11


def fitting(stages: int, width: int) -> tuple[list[int], list[int]]:
    """Which stages are left out and which are shown: the raw one, and as many of the last as fit.

    Args:
        stages: how many there are.
        width: cells of a line; of more than 80, 80 are used.
    """
    token, stage = _columns(width)
    room = max(2, (min(width, 80) - token) // stage)
    everyone = list(range(stages))
    if stages <= room:
        return [], everyone
    kept = [0, *everyone[1 - room :]]
    return [i for i in everyone if i not in kept], kept


def stage_table(story: StepStory, kept: Sequence[int], width: int, candidate: int | None = None) -> Table:
    """The table.

    Args:
        story: of the step.
        kept: the stages that have a column.
        width: cells of a line.
        candidate: the row that is marked; None for none.
    """
    stages = [story.stages[i] for i in kept]
    token, column = _columns(width)
    made = Table(box=None, pad_edge=False, padding=(0, 0, 0, 2), header_style="")
    made.add_column("", width=1)
    made.add_column(Text("token", style="dim"), max_width=token - 3, no_wrap=True, overflow="ellipsis")
    detailed = any(stage.parameter for stage in stages)
    for stage in stages:
        heading = safe_text(f"{stage.name}\n{stage.parameter}" if detailed else stage.name, newlines=True)
        made.add_column(Text(heading, style="dim"), justify="right", overflow="fold", max_width=column - 2)
    for number, row in enumerate(story.rows):
        style = "bold green" if row.chosen else ""
        shares = [row.probabilities[i] for i in kept]
        cells = [Text(share_text(share), style=style if share else "dim") for share in shares]
        mark, label = Text(">" if row.chosen else "", style=style), Text(row.label, style=style)
        made.add_row(mark, label, *cells, style="reverse" if number == candidate else "")
    for name, values in (
        ("tokens left", [stage.support for stage in stages]),
        ("entropy (nats)", [None if stage.entropy is None else f"{stage.entropy:.3f}" for stage in stages]),
    ):
        made.add_row("", Text(name, style="dim"), *(Text("?" if v is None else str(v), style="dim") for v in values))
    return made


def _columns(width: int) -> tuple[int, int]:
    """The cells of the column of tokens and of that of a stage, with their gaps."""
    return (_TOKEN_COLUMN, _STAGE_COLUMN) if width >= NARROW else (_SLIM_TOKEN_COLUMN, _SLIM_STAGE_COLUMN)
