"""Reading traces: from a file to a `Trace`, or to a `TraceError` that names the step."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from decodekit.errors import TraceError, brief
from decodekit.local.files import open_regular
from decodekit.trace.codec import LONGEST_LINE, check_size, digest, to_line
from decodekit.trace.header import Resumption
from decodekit.trace.new_file import write_new
from decodekit.trace.parsing import parse_json, parse_resumption, parse_step
from decodekit.trace.trace import Trace
from decodekit.trace.unpacking import Fault, TraceReader
from decodekit.types import PathLike

__all__ = ["Fault", "TraceReader", "glance", "inspect_trace", "open_trace", "read_trace", "recover"]

_PIECE = 2**16
_STEP = re.compile(rb'\{"kind":"step","prev":"[0-9a-f]{32}","content":\{"stream":(\d{1,20}),')


def read_trace(path: PathLike) -> Trace:
    """Read a trace and check the digests of its lines. Without a footer it is incomplete: `Trace.footer` is None.

    Raises:
        TraceError: no such file, another format, a damaged or incomplete line; ``step`` counts the intact steps before.
    """
    reader = open_trace(path)
    steps = list(reader)
    return Trace(reader.header, steps, reader.footer, reader.resumed)


def open_trace(path: PathLike) -> TraceReader:
    """A trace to be read step by step, for files that do not fit into memory; digests are checked as in `read_trace`.

    Raises:
        TraceError: no such file, or no usable header; while its steps are read, the other errors of `read_trace`.
    """
    return TraceReader(_lines(path), path)


def glance(path: PathLike) -> tuple[list[Resumption], Counter[int]]:
    """Where a run was resumed, and how many steps of each stream there are, before the steps are read.

    Nothing is checked, and only a line that looks like no step is parsed. If reading the file without a fault comes to
    other values, then it was changed in between.
    """
    resumed: list[Resumption] = []
    counts: Counter[int] = Counter()
    lines = _lines(path)
    next(lines, None)
    for line, ended in lines:
        if not ended:
            break
        step = _STEP.match(line)
        if step is not None and line.count(b'"stream":') == 1:  # of a key that stands twice, the last counts
            counts[int(step[1])] += 1
            continue
        try:
            check_size(line)
            data = parse_json(line)
            if data["kind"] == "resumed":
                resumed.append(parse_resumption(data["content"]))
            elif data["kind"] == "step":
                counts[parse_step(line).stream] += 1  # as reading takes it: a text may be a number
        except (ValueError, TypeError, KeyError, RecursionError, MemoryError):
            break  # a fault, which reading finds too
    return resumed, counts


def inspect_trace(path: PathLike) -> tuple[Trace, Fault | None]:
    """As `read_trace`, but returns a fault with the steps before it. Raises only if there is no usable header."""
    reader = open_trace(path)
    steps = list(reader.intact())
    return Trace(reader.header, steps, reader.footer, reader.resumed), reader.fault


def recover(path: PathLike, target: PathLike) -> Trace:
    """Copy the intact lines of an incomplete trace and add a ``recovered`` line.

    The original is not changed. A recovered trace has no footer: it stays incomplete, and records how much was left
    out. The target is written completely or, for example when the disk is full, not at all.

    Raises:
        TraceError: the trace is complete, or damaged before its last line; or the target exists or cannot be written.
    """
    trace, fault = inspect_trace(path)
    if fault is not None and not fault.torn:
        raise fault
    if trace.footer is not None:
        raise TraceError(f"{path} is complete; there is nothing to recover", step=len(trace.steps))
    data = Path(path).read_bytes()
    kept = data[: data.rfind(b"\n") + 1]
    last = kept[:-1].rsplit(b"\n", 1)[-1]
    note = {
        "kind": "recovered",
        "prev": digest(last),
        "content": {"steps": len(trace.steps), "cut": len(data) - len(kept)},
    }
    write_new(target, kept + to_line(note) + b"\n")
    return read_trace(target)


def _lines(path: PathLike) -> Iterator[tuple[bytes, bool]]:
    """The lines of a file without their newlines, and whether each had one; only the first part of one too long."""
    if not isinstance(path, str | os.PathLike):
        raise TraceError(f"a trace is read from the path of its file, not from {brief(path)}")
    try:
        with open_regular(path) as file:
            while piece := file.readline(_PIECE):
                if piece.endswith(b"\n"):
                    yield piece[:-1], True
                    continue
                file.seek(-len(piece), os.SEEK_CUR)
                line = file.read(_line_size(file) - 1)
                last = file.read(1)
                ended = last == b"\n"
                yield line if ended else line + last, ended
    except OSError as error:
        raise TraceError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:  # a name with a zero byte
        raise TraceError(f"cannot read {os.fspath(path)!r}: {error}") from error


def _line_size(file: BinaryIO) -> int:
    """The bytes of the next line, to be read in one piece: `readline` joins many, which takes twice the memory."""
    start, size = file.tell(), 0
    while (piece := file.readline(_PIECE)) and size <= LONGEST_LINE:
        size += len(piece)
        if piece.endswith(b"\n"):
            break
    file.seek(start)
    return size
