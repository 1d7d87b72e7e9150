"""Output: results to stdout, messages to stderr."""

from __future__ import annotations

import json
import math
import sys
from contextlib import suppress
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from decodekit.errors import ConfigError, DecodekitError, ModelNotFound
from decodekit.text.safe_text import safe_text

__all__ = [
    "GAP",
    "NARROW",
    "console",
    "exit_code",
    "number",
    "put",
    "put_json",
    "say",
    "say_lines",
    "show_table",
    "table",
]

NARROW = 80
GAP = 2  # spaces between two columns of a table


def exit_code(error: DecodekitError) -> int:
    """2 for a wrong call, which includes a file or model that is not there; 1 for what failed."""
    return 2 if isinstance(error, ConfigError | ModelNotFound) else 1


def say(message: str) -> None:
    """One line on stderr."""
    say_lines("decodekit: " + safe_text(" ".join(message.split("\n"))) + "\n")


def say_lines(text: str) -> None:
    """Text on stderr, unchanged. A closed stderr is ignored: messages are never the result."""
    with suppress(OSError):
        typer.echo(text, err=True, nl=False)


def put(text: str) -> None:
    """Text on stdout at once, unchanged, as UTF-8 bytes: in a pipe it is data."""
    typer.echo(text.encode("utf-8"), nl=False)


def put_json(value: Any) -> None:
    """One JSON value on one line of stdout, in ASCII without control characters, so it is safe on a terminal too."""
    typer.echo(json.dumps(value, allow_nan=False).replace("\x7f", "\\u007f"))


def number(value: float | None) -> float | str | None:
    """A number as JSON can hold it; an infinity is a string, as in a trace."""
    return value if value is None or math.isfinite(value) else str(value)


def console() -> Console:
    """The console for results: at most 80 columns, plain when piped, without colour if NO_COLOR is set."""
    made = Console(highlight=False, markup=False, emoji=False, file=sys.stdout)
    made.width = min(made.width, NARROW)
    return made


def table(*headings: str, right: tuple[str, ...] = ()) -> Table:
    """A table without lines. Columns named in ``right`` are right-justified."""
    made = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")
    for heading in headings:
        made.add_column(Text(heading), justify="right" if heading in right else "left", overflow="fold")
    return made


def show_table(out: Console, made: Table) -> None:
    """Print a table; in a pipe, without the spaces that fill its last column."""
    if out.is_terminal:
        out.print(made)
        return
    with out.capture() as capture:
        out.print(made)
    out.print(Text("\n".join(line.rstrip() for line in capture.get().splitlines())))
