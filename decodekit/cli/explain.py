"""One step as a table: the model's distribution, the result of each processor, the draw, and the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from decodekit.cli.output import number, show_table
from decodekit.draw.randomness import gumbel_of, uniform_of
from decodekit.errors import ParameterError
from decodekit.trace import Trace, verify
from decodekit.trace.step import Step
from decodekit.view.labels import token_label
from decodekit.view.safe_text import safe_text
from decodekit.view.stages import Column, TokenLine, grid, share_text
from decodekit.view.verdicts import MEANING, STYLE

if TYPE_CHECKING:
    from decodekit.text.tokenizer import Tokenizer

__all__ = ["explain_data", "find_step", "show_step"]

_TOKEN_COLUMN = 20
_CONTEXT = 40
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
    step = trace.steps[at]
    stages, rows = grid(step, trace.header.chain)
    hidden, kept = _fitting(stages, out.width)
    chosen = (token_label(tokenizer, step.token_id), "bold green")
    out.print(Text.assemble((f"step {step.index}: ", "bold"), chosen, (_before(trace, at, tokenizer), "dim")))
    out.print()
    show_table(out, _table([stages[i] for i in kept], [_narrowed(row, kept) for row in rows], tokenizer))
    if hidden:
        names = ", ".join(stages[i].name for i in hidden)
        out.print(Text(f"  (not shown: {safe_text(names)})", style="dim"))
    out.print()
    word = verify(trace).words[at]
    for name, line in (*_draw(trace, step, tokenizer), ("check", Text.assemble((word, STYLE[word]), _means(word)))):
        out.print(Text.assemble((f"  {name:<8}", "dim"), line))


def explain_data(trace: Trace, at: int, tokenizer: Tokenizer | None) -> dict[str, Any]:
    """The same as data for ``--json``."""
    step = trace.steps[at]
    stages, rows = grid(step, trace.header.chain)
    choice, draw = step.choice, step.draw
    return {
        "step": step.index,
        "token_id": step.token_id,
        "token": token_label(tokenizer, step.token_id),
        "stages": [
            {"name": stage.name, "parameter": stage.detail, "support": stage.support, "entropy": stage.entropy}
            for stage in stages
        ],
        "tokens": [
            {"token_id": row.token_id, "token": token_label(tokenizer, row.token_id), "probabilities": row.shares}
            for row in rows
        ],
        "word": None if draw is None else f"{draw.word:016x}",
        "score": choice.score,
        "margin": number(choice.margin),
        "runner_up": choice.runner_up,
        "verified": verify(trace).words[at],
    }


def _fitting(stages: list[Column], width: int) -> tuple[list[int], list[int]]:
    """Which stages are left out and which are shown: the raw one, and as many of the last as fit."""
    room = max(2, (min(width, 80) - _TOKEN_COLUMN) // _STAGE_COLUMN)
    everyone = list(range(len(stages)))
    if len(stages) <= room:
        return [], everyone
    kept = [0, *everyone[1 - room :]]
    return [i for i in everyone if i not in kept], kept


def _narrowed(row: TokenLine, kept: list[int]) -> TokenLine:
    return TokenLine(row.token_id, row.chosen, tuple(row.shares[i] for i in kept))


def _table(stages: list[Column], rows: list[TokenLine], tokenizer: Tokenizer | None) -> Table:
    made = Table(box=None, pad_edge=False, padding=(0, 0, 0, 2), header_style="")
    made.add_column("", width=1)
    made.add_column(Text("token", style="dim"), max_width=_TOKEN_COLUMN - 3, no_wrap=True, overflow="ellipsis")
    detailed = any(stage.detail for stage in stages)
    for stage in stages:
        heading = Text(
            safe_text(f"{stage.name}\n{stage.detail}" if detailed else stage.name, newlines=True), style="dim"
        )
        made.add_column(heading, justify="right", overflow="fold", max_width=_STAGE_COLUMN - 2)
    for row in rows:
        style = "bold green" if row.chosen else ""
        cells = [Text(share_text(share), style=style if share else "dim") for share in row.shares]
        label = Text(token_label(tokenizer, row.token_id), style=style)
        made.add_row(Text(">" if row.chosen else "", style=style), label, *cells)
    for name, values in (
        ("tokens left", [stage.support for stage in stages]),
        ("entropy (nats)", [None if stage.entropy is None else f"{stage.entropy:.3f}" for stage in stages]),
    ):
        made.add_row("", Text(name, style="dim"), *(Text("?" if v is None else str(v), style="dim") for v in values))
    return made


def _draw(trace: Trace, step: Step, tokenizer: Tokenizer | None) -> list[tuple[str, Text]]:
    """How the choice was made: the random word, the numbers computed from it, and the margin."""
    choice, draw = step.choice, step.draw
    sampler = str(trace.header.chain.get("sampler", {}).get("name"))
    unit = " of the mass" if sampler == "inverse_cdf" else " nats" if sampler in ("multinomial", "greedy") else ""
    margin = "nothing else was possible"
    if choice.runner_up is not None:
        margin = f"{choice.margin:.4f}{unit} to {token_label(tokenizer, choice.runner_up)}, the runner-up"
    lines = [("draw", f"none: {sampler} uses no randomness")]
    if draw is not None:
        words = np.array([draw.word], dtype=np.uint64)
        u, gumbel = float(uniform_of(words)[0]), float(gumbel_of(words)[0])
        lines = [("draw", f"word {draw.word:016x}, u {u:.6f}")]
        if sampler == "multinomial":
            sign = "-" if gumbel < 0 else "+"
            lines = [
                ("draw", f"{lines[0][1]}, Gumbel {gumbel:.4f}"),
                ("score", f"{choice.score - gumbel:.4f} {sign} {abs(gumbel):.4f} = {choice.score:.4f}"),
            ]
    return [(name, Text(safe_text(line))) for name, line in [*lines, ("margin", margin)]]


def _before(trace: Trace, at: int, tokenizer: Tokenizer | None) -> str:
    """The end of what the model had read: the prompt and the tokens so far."""
    if tokenizer is None:
        return ""
    stream = trace.steps[at].stream
    ids = [*trace.prompt_of(stream), *trace.token_ids(stream)[: trace.steps[at].index]]
    read = tokenizer.decode(ids[-_CONTEXT:]).decode("utf-8", "ignore")
    shown = safe_text(read[-_CONTEXT:])
    return f"  after ...{shown}" if len(ids) > _CONTEXT or len(read) > _CONTEXT else f"  after {shown}"


def _means(word: str) -> str:
    return f": {MEANING[word].replace('each choice', 'the choice')}"
