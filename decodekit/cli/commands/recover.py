"""``decodekit recover``: the intact part of a trace whose run was killed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from decodekit.cli.files import new_file
from decodekit.cli.options import TraceArgument
from decodekit.text.counted import counted
from decodekit.text.safe_text import safe_text

__all__ = ["recover"]


def recover(
    trace: TraceArgument,
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="The file to write; it must not exist.")],
) -> None:
    """Copy the complete lines of a damaged trace into a new file. The original is not changed."""
    from decodekit.trace import recover as recover_trace

    new_file(target)
    kept = recover_trace(trace, target)
    typer.echo(
        f"{safe_text(str(target))}: {counted(len(kept.steps), 'step')} kept; the trace stays marked as incomplete"
    )
