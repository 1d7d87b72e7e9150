"""Reading traces: from untrusted bytes to a `Trace`, or to a `TraceError` that names the step."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import ValidationError

from decodekit.errors import TraceError
from decodekit.local.files import open_regular
from decodekit.trace.codec import LONGEST_LINE, check_size, digest, to_line
from decodekit.trace.header import FORMAT, Footer, Header, Trace
from decodekit.trace.new_file import write_new
from decodekit.trace.parsing import FOOTER, RESUMPTION, parse_header, parse_json, parse_step
from decodekit.types import PathLike

__all__ = ["Fault", "inspect_trace", "read_trace", "recover"]

_HEADER = b'{"kind":"header","content":'
_PIECE = 2**16
_CHECK = b',"check":"'


class Fault(TraceError):
    """What is wrong with a file that can be read in part.

    Attributes:
        torn: the number of bytes of an incomplete last line, as after a crash; `recover` repairs this. 0 if the fault
            is elsewhere.
    """

    def __init__(self, message: str, *, step: int | None = None, torn: int = 0) -> None:
        self.torn = torn
        super().__init__(message, step=step)


class _Unchained(ValueError):
    pass


def read_trace(path: PathLike) -> Trace:
    """Read a trace and check the digests of its lines. Without a footer it is incomplete: `Trace.footer` is None.

    Raises:
        TraceError: no such file, another format, a damaged or incomplete line; ``step`` counts the intact steps before.
    """
    trace, fault = inspect_trace(path)
    if fault is not None:
        raise fault
    return trace


def inspect_trace(path: PathLike) -> tuple[Trace, Fault | None]:
    """As `read_trace`, but returns a fault with the steps before it. Raises only if there is no usable header."""
    lines = _lines(path)
    first, ended = next(lines, (b"", False))
    if not first and not ended:
        raise TraceError(f"{path} is empty")
    header, contents = _header(first, ended, path)
    trace = Trace(header, [], None)
    prev = digest(first)
    del first
    for line, ended in lines:
        steps = len(trace.steps)
        if trace.footer is not None:
            return trace, Fault(f"{path} has more lines after its footer", step=steps)
        if not ended and len(line) <= LONGEST_LINE:
            return trace, Fault(
                f"the last line of {path}, after {steps} steps, is incomplete; use recover", step=steps, torn=len(line)
            )
        try:
            check_size(line)
            prev = _take(line, prev, trace, contents)
        except _Unchained as error:
            del trace.steps[steps - 1 :]  # the step before may be the damaged one
            return trace, Fault(f"{path}: {error}", step=len(trace.steps))
        except (ValueError, RecursionError, MemoryError) as error:
            return trace, Fault(
                f"line {steps + 2} of {path}, after {steps} steps, is damaged: {_first_fault(error)}", step=steps
            )
    return trace, None


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
    try:
        with open_regular(path) as file:
            while size := _line_size(file):
                line = file.read(size - 1)
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


def _header(line: bytes, ended: bool, path: PathLike) -> tuple[Header, Any]:
    """The header, and the digest of all contents so far."""
    try:
        if not ended and line.startswith(_HEADER[:8]):
            raise TraceError(f"the header of {path} is incomplete; no step was written, so start the run again", step=0)
        check_size(line)
        try:
            data = parse_json(line)
        except ValueError:
            raise ValueError("its first line is not JSON") from None
        content = data["content"]
        if data["kind"] != "header":
            raise ValueError("the first line is not a header")
        if content["format"] != FORMAT:
            raise TraceError(f"{path} has the format {str(content['format'])[:60]!r}; this version reads {FORMAT!r}")
        start, end = len(_HEADER), line.rfind(b',"created":')
        if not line.startswith(_HEADER) or end < start:
            raise ValueError("the header does not have the form in which a header is written")
        return parse_header(content), blake2b(memoryview(line)[start:end], digest_size=16)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise TraceError(f"{path} is not a decodekit trace: {_first_fault(error)}", step=0) from error


def _take(line: bytes, prev: str, trace: Trace, contents: Any) -> str:
    """Check one line, add what it holds to the trace, and return its digest."""
    if line.startswith(b'{"kind":"step","prev":"' + prev.encode() + b'"'):
        step = parse_step(line)
        trace.steps.append(step)
        contents.update(_content_bytes(line))
        return digest(line)
    data = parse_json(line)
    if not isinstance(data, dict) or data.get("prev") != prev:
        raise _Unchained(f"the digest in line {len(trace.steps) + 2} is not that of the line before; one was changed")
    if data.get("kind") == "recovered":
        return digest(line)
    if data.get("kind") == "resumed":
        trace.resumed.append(RESUMPTION.validate_python(data.get("content")))
        return digest(line)
    if data.get("kind") != "footer":
        raise ValueError(f"a line of kind {str(data.get('kind'))[:40]!r}")
    body, _, check = line.rpartition(_CHECK)
    if check != digest(body).encode() + b'"}':
        raise ValueError("the footer does not match its own digest")
    footer: Footer = FOOTER.validate_python(data.get("content"))
    if footer.contents != contents.hexdigest():
        raise ValueError("the footer's digest of all contents does not match the lines above")
    wrong = replace(trace, footer=footer).wrong_ends()
    if wrong is not None:
        raise ValueError(wrong)
    trace.footer = footer
    return digest(line)


def _content_bytes(line: bytes) -> bytes:
    """The bytes of ``content`` within a step line, as the writer hashed them."""
    start = line.index(b'"content":') + len(b'"content":')
    return line[start : line.rindex(b',"timing":')]


def _first_fault(error: BaseException) -> str:
    if isinstance(error, ValidationError):
        detail = error.errors(include_url=False, include_context=False, include_input=False)[0]
        return f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}"
    return f"{type(error).__name__}: {error}" if isinstance(error, KeyError) else str(error)[:300]
