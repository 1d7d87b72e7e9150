"""From untrusted lines to the parts of a trace, or to a fault that names the step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from decodekit.errors import TraceError, message_of
from decodekit.trace.codec import LONGEST_LINE, check_size, digest
from decodekit.trace.ends import wrong_ends
from decodekit.trace.header import FORMAT, Footer, Header, Resumption
from decodekit.trace.parsing import (
    check_recovered,
    parse_footer,
    parse_header,
    parse_json,
    parse_resumption,
    parse_step,
)
from decodekit.trace.step import Step

__all__ = ["Fault", "Parts", "unpack"]

_HEADER = b'{"kind":"header","content":'
_CHECK = b',"check":"'


@dataclass(slots=True)
class Parts:
    """What was read so far. The arguments are those of `decodekit.Trace`."""

    header: Header
    steps: list[Step] = field(default_factory=list)
    footer: Footer | None = None
    resumed: list[Resumption] = field(default_factory=list)


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


def unpack(lines: Iterator[tuple[bytes, bool]], path: object) -> tuple[Parts, Fault | None]:
    """The parts of a trace, and the fault behind which nothing was read. Raises only if there is no usable header.

    Args:
        lines: without their newlines, and whether each had one.
        path: names them in errors.
    """
    first, ended = next(lines, (b"", False))
    if not first and not ended:
        raise TraceError(f"{path} is empty")
    header, contents = _header(first, ended, path)
    trace = Parts(header)
    prev = digest(first)
    del first
    for line, ended in lines:
        steps = len(trace.steps)
        if trace.footer is not None:
            return trace, Fault(f"{path} has more lines after its footer", step=steps)
        if not ended and len(line) <= LONGEST_LINE:
            return trace, Fault(
                f"the last line of {path}, after {steps} steps, is incomplete; decodekit.recover, or the command "
                "decodekit recover, copies the lines before it",
                step=steps,
                torn=len(line),
            )
        try:
            check_size(line)
            prev = _take(line, prev, trace, contents)
        except _Unchained as error:
            del trace.steps[steps - 1 :]  # the step before may be the damaged one
            return trace, Fault(f"{path}: {error}", step=len(trace.steps))
        except (ValueError, RecursionError, MemoryError) as error:
            return trace, Fault(
                f"line {steps + 2} of {path}, after {steps} steps, is damaged: {_told(error)}", step=steps
            )
    return trace, None


def _header(line: bytes, ended: bool, path: object) -> tuple[Header, Any]:
    """The header, and the digest of all contents so far."""
    try:
        if not ended and line.startswith(_HEADER[:8]):
            raise TraceError(f"the header of {path} is incomplete; no step was written, so start the run again", step=0)
        if line.startswith(b"PAR1"):
            raise ValueError("it is a Parquet table, which is for analysis; give the JSON Lines of the run")
        check_size(line)
        try:
            data = parse_json(line)
        except ValueError:
            raise ValueError("its first line is not JSON") from None
        content = data.get("content") if isinstance(data, dict) and data.get("kind") == "header" else None
        if not isinstance(content, dict) or "format" not in content:
            raise ValueError("its first line is not a header")
        if content["format"] != FORMAT:
            raise TraceError(f"{path} has the format {str(content['format'])[:60]!r}; this version reads {FORMAT!r}")
        start, end = len(_HEADER), line.rfind(b',"created":')
        if not line.startswith(_HEADER) or end < start:
            raise ValueError("its header does not have the form in which a header is written")
        return parse_header(content), blake2b(memoryview(line)[start:end], digest_size=16)
    except (ValueError, RecursionError) as error:
        raise TraceError(f"{path} is not a decodekit trace: {_told(error)}", step=0) from None


def _take(line: bytes, prev: str, trace: Parts, contents: Any) -> str:
    """Check one line, add what it holds to the trace, and return its digest."""
    if line.startswith(b'{"kind":"step","prev":"' + prev.encode() + b'"'):
        step, content = parse_step(line), _content_bytes(line)
        trace.steps.append(step)
        contents.update(content)
        return digest(line)
    data = parse_json(line)
    if not isinstance(data, dict) or data.get("prev") != prev:
        raise _Unchained(f"the digest in line {len(trace.steps) + 2} is not that of the line before; one was changed")
    if data.get("kind") == "recovered":
        check_recovered(data.get("content"))
        return digest(line)
    if data.get("kind") == "resumed":
        trace.resumed.append(parse_resumption(data.get("content")))
        return digest(line)
    if data.get("kind") != "footer":
        raise ValueError(f"a line of kind {str(data.get('kind'))[:40]!r}")
    body, _, check = line.rpartition(_CHECK)
    if check != digest(body).encode() + b'"}':
        raise ValueError("the footer does not match its own digest")
    footer = parse_footer(data.get("content"))
    if footer.contents != contents.hexdigest():
        raise ValueError("the footer's digest of all contents does not match the lines above")
    wrong = wrong_ends(trace.header, trace.steps, footer)
    if wrong is not None:
        raise ValueError(wrong)
    trace.footer = footer
    return digest(line)


def _content_bytes(line: bytes) -> bytes:
    """The bytes of ``content`` within a step line, as the writer hashed them."""
    start = line.index(b'"content":') + len(b'"content":')
    return line[start : line.rindex(b',"timing":')]


def _told(error: BaseException) -> str:
    if isinstance(error, RecursionError | MemoryError):
        return "it is too deep or too large to be read here"
    return message_of(error)[:300]
