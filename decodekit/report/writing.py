"""Reports as files and as text."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from decodekit.errors import TraceError
from decodekit.report.document import islands
from decodekit.report.page import MARK, page
from decodekit.report.sources import read_sources
from decodekit.text.tokenizer import Tokenizer
from decodekit.trace.new_file import write_new
from decodekit.types import PathLike

__all__ = ["html", "write_report"]


def html(traces: Any, *, tokenizer: Tokenizer | None = None) -> str:
    """A report as the text of one HTML page that loads nothing.

    Args:
        traces: a `Trace`, a `Result`, the path of a trace, or a sequence of them. Two traces are compared too.
        tokenizer: that of the run, for the texts of tokens that were not chosen, and of the prompts.

    Raises:
        TraceError: a file cannot be read, or has no usable header.
        ParameterError: there is no trace, or something else was given; the tokenizer is that of none of the runs.
    """
    return page(*islands(read_sources(traces, tokenizer)))


def write_report(traces: Any, path: PathLike, *, tokenizer: Tokenizer | None = None) -> Path:
    """Write a report to a file: completely or not at all. An older report of this name is replaced.

    Args:
        traces, tokenizer: as for `html`.
        path: the file to write.

    Returns:
        The file.

    Raises:
        TraceError: as for `html`; or the file exists and is no report, or cannot be written.
        ParameterError: as for `html`.
    """
    target = Path(path)
    replace = _is_report(target)
    write_new(target, html(traces, tokenizer=tokenizer).encode(), replace=replace)
    return target


def _is_report(path: Path) -> bool:
    """Whether there is a report of this name.

    Raises:
        TraceError: there is another file of this name.
    """
    if os.path.isdir(path):  # noqa: PTH112 - False, where `Path.is_dir` raises for a name that is too long
        raise TraceError(f"{path} is a folder; give the report a file name")
    try:
        with path.open("rb") as file:
            if file.read(len(MARK)) == MARK.encode():
                return True
    except (OSError, ValueError):  # there is none; what else is wrong shows when it is written
        return False
    raise TraceError(f"{path} exists and is not a report; choose another path or remove it")
