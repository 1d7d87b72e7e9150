"""One step as a table: the model's distribution, the result of each processor, the draw, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from decodekit.cli.output import number, show_table
from decodekit.errors import ParameterError
from decodekit.text.safe_text import safe_text
from decodekit.trace import Trace
from decodekit.trace.explaining import explain_in
from decodekit.trace.explanation import Explanation
from decodekit.trace.stages import Column, share_text
from decodekit.trace.step import Step
from decodekit.view.verdicts import MEANING, STYLE

if TYPE_CHECKING:
    from decodekit.text.tokenizer import Tokenizer

__all__ = ["explain_data", "find_step", "show_step"]

_TOKEN_COLUMN = 20
_STAGE_COLUMN = 13  # the widest name that is not wrapped, and a gap


def find_step(steps: list[Step], wanted: int) -> int:
    """The index of the step in a sequence; a negative number counts from the end.

    Raises:
        ParameterError: there is no such step.
    """
    if not -len(steps) <= wanted < len(steps):
        there = f"there are steps 0 to {len(steps) - 1}" if steps else "nothing was generated"
        raise ParameterError(f"--explain {wanted}: no such step; {there}")
    return wanted % len(steps)


def show_step(out: Console, trace: Trace, at: int, tokenizer: Tokenizer | None) -> None:
    """Print one step.

    Args:
        out: where to.
        trace: one sequence.
        at: the index of the step in ``trace.steps``.
        tokenizer: for the texts of tokens.
    """
    found = explain_in(trace, at, tokenizer)
    hidden, kept = _fitting(found.columns, out.width)
    chosen = (found.labels[found.token_id], "bold green")
    out.print(
        Text.assemble(
            (f"step {found.index}: ", "bold"), chosen, (f"  after {found.before}" if found.before else "", "dim")
        )
    )
    out.print()
    show_table(out, _table(found, kept))
    if hidden:
        names = ", ".join(found.columns[i].name for i in hidden)
        out.print(Text(f"  (not shown: {safe_text(names)})", style="dim"))
    out.print()
    word = found.verified
    lines = [(name, Text(line)) for name, line in found.facts]
    for name, line in (*lines, ("check", Text.assemble((word, STYLE[word]), _means(word)))):
        out.print(Text.assemble((f"  {name:<8}", "dim"), line))


def explain_data(trace: Trace, at: int, tokenizer: Tokenizer | None) -> dict[str, Any]:
    """The same as data for ``--json``."""
    step, found = trace.steps[at], explain_in(trace, at, tokenizer)
    choice, draw = step.choice, step.draw
    return {
        "step": step.index,
        "token_id": step.token_id,
        "token": found.labels[step.token_id],
        "stages": [
            {"name": stage.name, "parameter": stage.detail, "support": stage.support, "entropy": stage.entropy}
            for stage in found.columns
        ],
        "tokens": [
            {"token_id": row.token_id, "token": found.labels[row.token_id], "probabilities": row.shares}
            for row in found.rows
        ],
        "word": None if draw is None else f"{draw.word:016x}",
        "score": choice.score,
        "margin": number(choice.margin),
        "runner_up": choice.runner_up,
        "verified": found.verified,
    }


def _fitting(stages: Sequence[Column], width: int) -> tuple[list[int], list[int]]:
    """Which stages are left out and which are shown: the raw one, and as many of the last as fit."""
    room = max(2, (min(width, 80) - _TOKEN_COLUMN) // _STAGE_COLUMN)
    everyone = list(range(len(stages)))
    if len(stages) <= room:
        return [], everyone
    kept = [0, *everyone[1 - room :]]
    return [i for i in everyone if i not in kept], kept


def _table(found: Explanation, kept: list[int]) -> Table:
    stages = [found.columns[i] for i in kept]
    made = Table(box=None, pad_edge=False, padding=(0, 0, 0, 2), header_style="")
    made.add_column("", width=1)
    made.add_column(Text("token", style="dim"), max_width=_TOKEN_COLUMN - 3, no_wrap=True, overflow="ellipsis")
    detailed = any(stage.detail for stage in stages)
    for stage in stages:
        heading = Text(
            safe_text(f"{stage.name}\n{stage.detail}" if detailed else stage.name, newlines=True), style="dim"
        )
        made.add_column(heading, justify="right", overflow="fold", max_width=_STAGE_COLUMN - 2)
    for row in found.rows:
        style = "bold green" if row.chosen else ""
        shares = [row.shares[i] for i in kept]
        cells = [Text(share_text(share), style=style if share else "dim") for share in shares]
        label = Text(found.labels[row.token_id], style=style)
        made.add_row(Text(">" if row.chosen else "", style=style), label, *cells)
    for name, values in (
        ("tokens left", [stage.support for stage in stages]),
        ("entropy (nats)", [None if stage.entropy is None else f"{stage.entropy:.3f}" for stage in stages]),
    ):
        made.add_row("", Text(name, style="dim"), *(Text("?" if v is None else str(v), style="dim") for v in values))
    return made


def _means(word: str) -> str:
    return f": {MEANING[word].replace('each choice', 'the choice')}"
