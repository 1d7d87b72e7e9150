"""A difference of two traces in plain words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from decodekit.errors import brief
from decodekit.text.counted import counted
from decodekit.text.labels import quoted
from decodekit.text.safe_text import safe_text
from decodekit.trace.differences.parts import (
    Before,
    Cause,
    FieldDifference,
    Parting,
    SequenceDifference,
    Side,
    StageDifference,
)

__all__ = ["STAGE_HEADINGS", "headline", "lines_of_fields", "lines_of_sequence", "named_streams", "stage_cells"]

_MOST_FIELDS = 12
STAGE_HEADINGS = ("stage", "drift", "TV", "entropy", "tokens left", "compared", "")
"""Drift and entropies in nats; TV is the total variation distance, or its bounds."""


def headline(equal: bool, cause: Cause, where: str, step: int | None, why: str) -> str:
    """The answer in one line."""
    if equal:
        return f"equal tokens; {safe_text(why)}" if why else "equal tokens"
    at = "" if step is None else f" at step {step}"
    return f"{cause}: {safe_text(where)}{at}: {safe_text(why)}"


def lines_of_sequence(sequence: SequenceDifference, *, named: bool = True) -> list[str]:
    """One pair of sequences: where they part, the stages of that step, and the steps before.

    Args:
        sequence: the pair.
        named: whether a headline has named its cause.
    """
    streams = str(sequence.stream_a)
    if sequence.stream_a != sequence.stream_b:
        streams += f" and {sequence.stream_b}"
    lines = [f"  stream {streams}: {sequence.tokens_a} and {sequence.tokens_b} tokens, paired by {sequence.paired_by}"]
    if not named:
        lines.append("  " + headline(sequence.equal, sequence.cause, sequence.where, sequence.step, sequence.why))
    if sequence.same_text is not None and (sequence.aligned_by == "texts" or sequence.same_text > sequence.equal):
        lines.append(f"  the texts are {'equal' if sequence.same_text else 'different'}")
    if sequence.parting is not None:
        lines += _parting_lines(sequence.parting)
    lines += [f"  also: {safe_text(why)}" for why in sequence.also]
    return [*lines, *_before_lines(sequence.before)]


def lines_of_fields(fields: Sequence[FieldDifference]) -> list[str]:
    """What differs in the headers."""
    if not fields:
        return []
    shown = [
        f"  {'>' if field.mattered else ' '} {safe_text(field.field)}: "
        f"{safe_text(brief(field.a))}, {safe_text(brief(field.b))}"
        for field in sorted(fields, key=lambda field: not field.mattered)[:_MOST_FIELDS]
    ]
    more = [f"    and {len(fields) - _MOST_FIELDS} more"] if len(fields) > _MOST_FIELDS else []
    return ["  headers differ in", *shown, *more]


def named_streams(streams: Sequence[int]) -> str:
    """Streams in words."""
    more = f" and {len(streams) - _MOST_FIELDS} more" if len(streams) > _MOST_FIELDS else ""
    return f"stream{'' if len(streams) == 1 else 's'} {', '.join(map(str, streams[:_MOST_FIELDS]))}{more}"


def stage_cells(stage: StageDifference) -> tuple[str, ...]:
    """A stage as the cells of a table, under `STAGE_HEADINGS`."""
    only = ""
    if not stage.in_both:
        only = "only in the first" if stage.place_b is None else "only in the second"
    elif stage.same is None:
        only = "not recorded"
    elif stage.same:
        only = "same"
    elif not stage.compared:
        only = "no recorded token in common"
    moved = stage.only_a + stage.only_b
    if moved:
        only = f"{counted(moved, 'token')} on one side only"
    tv = "?"
    if stage.tv_low is not None and stage.tv_high is not None:
        tv = (
            _number(stage.tv_low)
            if stage.tv_high - stage.tv_low < 1e-9
            else f"{_number(stage.tv_low)} to {_number(stage.tv_high)}"
        )
    return (
        safe_text(stage.name),
        _number(stage.drift),
        tv,
        f"{_number(stage.entropy_a)}, {_number(stage.entropy_b)}",
        f"{'?' if stage.support_a is None else stage.support_a}, {'?' if stage.support_b is None else stage.support_b}",
        str(stage.compared) if stage.in_both else "",
        only,
    )


def _parting_lines(parting: Parting) -> list[str]:
    lines = [f"  {name:<7}{_side(side)}" for name, side in (("first", parting.a), ("second", parting.b))]
    if not parting.stages:
        return lines
    table = [STAGE_HEADINGS, *map(stage_cells, parting.stages)]
    widths = [max(len(row[at]) for row in table) for at in range(len(STAGE_HEADINGS))]
    lines += [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
    ]
    return [
        *lines,
        *(f"  {safe_text(stage.name)}: {stage.missing}" for stage in parting.stages[:1] if stage.missing),
    ]


def _side(side: Side) -> str:
    if side.token_id is None:
        return f"ended: {side.finish_reason}"
    token = f"{side.token_id} {quoted(side.text)}" if side.text else str(side.token_id)
    margin = "" if side.margin is None else f", margin {_number(side.margin)}"
    noise = "" if side.word is None else f", seed {side.seed}, stream {side.stream}, attempt {side.attempt}"
    return f"token {token}{margin}{noise}"


def _before_lines(before: Before) -> list[str]:
    steps = counted(before.steps, "equal step")
    if before.max_drift is None or before.steps == 0:
        return [f"  {steps} before; nothing to compare in them"] if before.steps else []
    line = (
        f"  {steps}: drift of the final log-probabilities at most {_number(before.max_drift)} nats"
        f" (step {before.max_at}), {_number(before.mean_drift)} on average; {before.rank_changes} ranks changed"
    )
    if before.first_step is None:
        return [line]
    return [line, f"  the first difference in a recorded value: step {before.first_step}, {before.first_stage}"]


def _number(value: float | None) -> str:
    if value is None:
        return "?"
    return str(value) if math.isinf(value) else f"{value:.3g}"
