"""From untrusted lines to the parts of a trace, step by step, or to a fault that names the step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
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

__all__ = ["Fault", "TraceReader"]

_HEADER = b'{"kind":"header","content":'
_CHECK = b',"check":"'
_LONGEST_TIME = 64  # characters


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


class TraceReader:
    """Reads a trace step by step, in bounded memory: one step is kept, whatever the length of the file.

    Iterate over it once. A step is given when the line after it has been read: if the digest there is wrong, the step
    may be the one that was changed.

    Args:
        lines: without their newlines, and whether each had one.
        path: names them in errors.

    Attributes:
        header: what the run started from.
        footer: once all steps were read; None if there is none.
        resumed: where the run was resumed, as far as it was read.
        counts: how many steps of each stream were read.
        fault: what is wrong with the file, behind the last step that was given.

    Raises:
        TraceError: there is no usable header.
    """

    def __init__(self, lines: Iterator[tuple[bytes, bool]], path: object) -> None:
        self._lines, self._path = lines, path
        first, ended = next(lines, (b"", False))
        if not first and not ended:
            raise TraceError(f"{path} is empty")
        self.header, self._contents = _header(first, ended, path)
        self._prev = digest(first)
        self.footer: Footer | None = None
        self.resumed: list[Resumption] = []
        self.counts: Counter[int] = Counter()
        self.fault: Fault | None = None

    def __iter__(self) -> Iterator[Step]:
        """The steps. Raises the fault behind them, if there is one."""
        yield from self.intact()
        if self.fault is not None:
            raise self.fault

    def intact(self) -> Iterator[Step]:
        """The steps before a fault, which is in `fault` then."""
        held: Step | None = None
        read = 0
        for line, ended in self._lines:
            try:
                step = self._take(line, ended, read)
            except _Unchained as error:
                read = max(read - 1, 0)
                self.fault = Fault(f"{self._path}: {error}", step=read)
                return
            except Fault as fault:
                self.fault = fault
                break
            if step is not None:
                if held is not None:
                    yield held
                held, read = step, read + 1
        if held is not None:
            yield held

    def _take(self, line: bytes, ended: bool, steps: int) -> Step | None:
        """The next line: a step, or None if it is of another kind. Raises `Fault` or `_Unchained`."""
        if self.footer is not None:
            raise Fault(f"{self._path} has more lines after its footer", step=steps)
        if not ended and len(line) <= LONGEST_LINE:
            raise Fault(
                f"the last line of {self._path}, after {steps} steps, is incomplete; decodekit.recover, or the command "
                "decodekit recover, copies the lines before it",
                step=steps,
                torn=len(line),
            )
        try:
            check_size(line)
            step = self._read(line, steps)
        except _Unchained:
            raise
        except (ValueError, RecursionError, MemoryError) as error:
            raise Fault(
                f"line {steps + 2} of {self._path}, after {steps} steps, is damaged: {_told(error)}", step=steps
            ) from None
        self._prev = digest(line)
        return step

    def _read(self, line: bytes, steps: int) -> Step | None:
        if line.startswith(b'{"kind":"step","prev":"' + self._prev.encode() + b'"'):
            step = parse_step(line)
            self._contents.update(_content_bytes(line))
            self.counts[step.stream] += 1
            return step
        data = parse_json(line)
        if not isinstance(data, dict) or data.get("prev") != self._prev:
            raise _Unchained(f"the digest in line {steps + 2} is not that of the line before; one was changed")
        match data.get("kind"):
            case "recovered":
                check_recovered(data.get("content"))
            case "resumed":
                self.resumed.append(replace(parse_resumption(data.get("content")), created=_time(data)))
            case "footer":
                self.footer = self._end(line, data.get("content"))
            case other:
                raise ValueError(f"a line of kind {str(other)[:40]!r}")
        return None

    def _end(self, line: bytes, content: Any) -> Footer:
        body, _, check = line.rpartition(_CHECK)
        if check != digest(body).encode() + b'"}':
            raise ValueError("the footer does not match its own digest")
        footer = parse_footer(content)
        if footer.contents != self._contents.hexdigest():
            raise ValueError("the footer's digest of all contents does not match the lines above")
        wrong = wrong_ends(self.header, self.counts, footer)
        if wrong is not None:
            raise ValueError(wrong)
        return footer


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
        header = replace(parse_header(content), created=_time(data))
        return header, blake2b(memoryview(line)[start:end], digest_size=16)
    except (ValueError, RecursionError) as error:
        raise TraceError(f"{path} is not a decodekit trace: {_told(error)}", step=0) from None


def _time(data: Mapping[str, Any]) -> str:
    """When a line says that it was made. Raises `ValueError` where that is no short text."""
    created = data.get("created")
    return created if isinstance(created, str) and len(created) <= _LONGEST_TIME else ""


def _content_bytes(line: bytes) -> bytes:
    """The bytes of ``content`` within a step line, as the writer hashed them."""
    start = line.index(b'"content":') + len(b'"content":')
    return line[start : line.rindex(b',"timing":')]


def _told(error: BaseException) -> str:
    if isinstance(error, RecursionError | MemoryError):
        return "it is too deep or too large to be read here"
    return message_of(error)[:300]
