"""Rows of a query on stdout: as a table, as JSON Lines, or as comma-separated values."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, Literal

from rich.cells import cell_len
from rich.text import Text

from decodekit.cli.output import GAP, console, put, put_json, say, show_table, table
from decodekit.text.safe_text import safe_text
from decodekit.trace.plain_values import plain_value

__all__ = ["put_rows"]

_MOST = 100  # rows of a table
_FOLDED = 24  # characters: a longer cell may be folded, a number never


def put_rows(columns: Sequence[str], rows: Iterator[tuple[Any, ...]], form: Literal["table", "json", "csv"]) -> None:
    """Show rows. In a pipe, texts of comma-separated values are data; on a terminal they are made safe."""
    if form == "json":
        for row in rows:
            put_json(dict(zip(columns, map(plain_value, row), strict=True)))
    elif form == "csv":
        _put_csv(columns, rows)
    else:
        _put_table([safe_text(name) for name in columns], rows)


def _put_table(names: Sequence[str], rows: Iterator[tuple[Any, ...]]) -> None:
    """The first rows, with as many of the first columns as fit; a single row that does not fit stands downwards."""
    out = console()
    cells = [[safe_text(_cell(value)) for value in row] for row in islice(rows, _MOST)]
    fitting = _fitting(names, cells, out.width)
    if fitting < len(names) and len(cells) == 1:
        made = table("column", "value")
        for named in zip(names, cells[0], strict=True):
            made.add_row(*map(Text, named))
        show_table(out, made)
        return
    made = table(*names[:fitting])
    for row in cells:
        made.add_row(*map(Text, row[:fitting]))
    show_table(out, made)
    if fitting < len(names):
        say(f"the first {fitting} of {len(names)} columns; name others in the SELECT; --json and --csv give all")
    if next(rows, None) is not None:
        say(f"the first {_MOST} rows; --json and --csv give all")


def _fitting(names: Sequence[str], cells: Sequence[Sequence[str]], width: int) -> int:
    """How many of the first columns fit into a width, of which only long cells are folded; at least one."""
    used = 0
    for at, name in enumerate(names):
        longest = max(map(cell_len, (name, *(row[at] for row in cells))))
        used += min(longest, _FOLDED)
        if used > width:
            return max(1, at)
        used += GAP
    return len(names)


def _put_csv(columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    safe = safe_text if sys.stdout.isatty() else str
    for row in chain([columns], rows):
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow([safe(_cell(value)) for value in row])
        put(line.getvalue())


def _cell(value: Any) -> str:
    """A value as text; nothing for what is not known."""
    plain = plain_value(value)
    if plain is None:
        return ""
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
