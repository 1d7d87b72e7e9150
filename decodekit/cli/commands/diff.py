"""``decodekit diff``: the first step where two traces part, and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from decodekit.cli.options import JsonFlag
from decodekit.cli.output import console, put_json
from decodekit.errors import ParameterError

if TYPE_CHECKING:
    from decodekit.trace import Difference

__all__ = ["diff"]

_First = Annotated[Path, typer.Argument(metavar="A", exists=True, dir_okay=False, readable=True, help="A trace file.")]
_Second = Annotated[Path, typer.Argument(metavar="B", exists=True, dir_okay=False, readable=True, help="Another one.")]


def diff(
    a: _First,
    b: _Second,
    stream: Annotated[
        int | None, typer.Option("--stream", metavar="S", help="Only this sequence of the first trace.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every sequence, also those that do not part.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Find the first step where two traces part, and name the cause. Exit 0 if all tokens are equal; 1 if not."""
    from decodekit.trace import diff as diff_traces

    found = diff_traces(a, b)
    if stream is not None:
        streams = [each.stream_a for each in found.sequences]
        if stream not in streams:
            shown = ", ".join(map(str, streams[:12]))
            raise ParameterError(
                f"--stream {stream}: no such sequence is in both traces; there is {shown or 'nothing'}"
            )
        found = found.only(stream)
    if as_json:
        put_json(found.to_dict())
    else:
        _show(found, everything)
    raise typer.Exit(0 if found.equal else 1)


def _show(found: Difference, everything: bool) -> None:
    from rich.text import Text

    out = console()
    first, *others = found.lines(everything=everything)
    out.print(Text(first, style="bold green" if found.equal else "bold red"), soft_wrap=True)
    for line in others:
        out.print(Text(line), soft_wrap=True)
