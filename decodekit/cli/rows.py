"""Rows of a query on stdout: as a table, as JSON Lines, or as comma-separated values."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, Literal

from rich.text import Text

from decodekit.cli.output import console, put, put_json, say, show_table, table
from decodekit.text.safe_text import safe_text
from decodekit.trace.plain_values import plain_value

__all__ = ["put_rows"]

_MOST = 100  # rows of a table


def put_rows(columns: Sequence[str], rows: Iterator[tuple[Any, ...]], form: Literal["table", "json", "csv"]) -> None:
    """Show rows. In a pipe, texts of comma-separated values are data; on a terminal they are made safe."""
    if form == "json":
        for row in rows:
            put_json(dict(zip(columns, map(plain_value, row), strict=True)))
    elif form == "csv":
        _put_csv(columns, rows)
    else:
        made = table(*map(safe_text, columns))
        for row in islice(rows, _MOST):
            made.add_row(*(Text(safe_text(_cell(value))) for value in row))
        show_table(console(), made)
        if next(rows, None) is not None:
            say(f"the first {_MOST} rows; --json and --csv give all")


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
