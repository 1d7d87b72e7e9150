"""Writing a trace: a step reaches the operating system before its token is returned."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, Self

from decodekit.errors import TraceError
from decodekit.trace.codec import check_size, digest, encode_step, to_line
from decodekit.trace.header import Footer, Header, Resumption, SequenceEnd
from decodekit.trace.step import Step
from decodekit.types import PathLike

__all__ = ["TraceWriter"]


class TraceWriter:
    """Writes one run into one new file, readable by its owner only.

    An interrupt may come at any time. If it comes between the start of a write and the count of the line, the file gets
    no footer: the trace is then incomplete, nothing in it is lost, and the run can be resumed.

    Args:
        path: the file; it must not exist.
        header: what the run starts from.
        fsync: wait for the disk after each line. A killed process loses nothing in either case; without it, a power
            failure may lose lines.

    Raises:
        TraceError: the file exists or cannot be created; later, a line could not be written in full.
    """

    def __init__(self, path: PathLike, header: Header, *, fsync: bool = False) -> None:
        self.path = Path(path)
        self._fsync = fsync
        self._contents = blake2b(digest_size=16)
        self._prev = ""
        self._steps = 0
        self._counts: Counter[int] = Counter()  # of each stream
        self._in_doubt = False
        content = _line_of(header.content())
        line = b'{"kind":"header","content":' + content + b',"created":"%s"}' % _now().encode()
        _require_readable(line, header=True)
        try:
            self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        except FileExistsError:
            raise TraceError(f"{self.path} exists; a trace is written once. Choose another path or remove it") from None
        except OSError as error:
            raise TraceError(f"cannot create {self.path}: {error.strerror}") from error
        except ValueError as error:  # a name with a zero byte
            raise TraceError(f"cannot create {os.fspath(path)!r}: {error}") from error
        self._open = True
        try:
            self._append(line, content)
        except BaseException:  # a file without a header is useless, and would block the next attempt
            self.abandon()
            with suppress(OSError):
                self.path.unlink()
            raise

    def write(self, step: Step) -> None:
        """Append one step."""
        content = _line_of(encode_step(step))
        timing = b'{"predict":%.7f,"chain":%.7f}' % (step.timing.predict, step.timing.chain)
        head = b'{"kind":"step","prev":"%s","content":' % self._prev.encode()
        line = head + content + b',"timing":' + timing + b"}"
        _require_readable(line, step=self._steps)
        self._append(line, content, step.stream)

    def resumed(self, resumption: Resumption) -> None:
        """Write that the run was resumed."""
        line = _line_of({"kind": "resumed", "prev": self._prev, "content": asdict(resumption), "created": _now()})
        self._append(line, b"")

    def close(self, ends: Sequence[SequenceEnd]) -> Footer | None:
        """Write the footer and close the file. Does nothing the second time.

        Args:
            ends: how each sequence ended, in the order of the header.

        Returns:
            The footer; None if none was written, because the file was closed or a write was interrupted, or because the
            ends count other steps than were written.
        """
        footer = Footer(list(ends), self._contents.hexdigest())
        try:
            if not self._open or self._in_doubt or any(self._counts[end.stream] != end.tokens for end in footer.ends):
                return None
            self._in_doubt = True  # from here to the end: an interrupt may come before the file is closed
            body = _line_of({"kind": "footer", "prev": self._prev, "content": asdict(footer)})[:-1]
            self._write(body + b',"check":"' + digest(body).encode() + b'"}\n')
        finally:
            self.abandon()
        return footer

    def abandon(self) -> None:
        """Close the file without a footer: the trace stays, and is incomplete."""
        if self._open:
            self._open = False
            os.close(self._file)

    def _append(self, line: bytes, content: bytes, stream: int | None = None) -> None:
        """Write a line and count it; everything that can fail is done before the write."""
        if self._in_doubt:
            raise TraceError(f"writing to {self.path} was interrupted; resume the run", step=self._steps)
        prev, contents = digest(line), self._contents.copy()
        contents.update(content)
        self._in_doubt = True
        self._write(line + b"\n")
        self._prev, self._contents = prev, contents
        if stream is not None:
            self._steps += 1
            self._counts[stream] += 1
        self._in_doubt = False

    def _write(self, data: bytes) -> None:
        if not self._open:
            raise TraceError(f"{self.path} is closed", step=self._steps)
        try:
            while data:
                data = data[os.write(self._file, data) :]
            if self._fsync:
                os.fsync(self._file)
        except OSError as error:
            self.abandon()
            raise TraceError(
                f"cannot write to {self.path} after {self._steps} steps: {error.strerror}. "
                "The file is intact up to its last complete line; free some disk space and use recover",
                step=self._steps,
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.abandon()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _line_of(data: Mapping[str, Any]) -> bytes:
    """The line of this data. Invalid Unicode, as in some file names, is written with Python's escapes."""
    try:
        try:
            return to_line(data)
        except ValueError:
            return to_line(_escaped(data))
    except (TypeError, ValueError) as error:
        raise TraceError(f"a trace cannot hold this: {error}") from error


def _escaped(data: Any) -> Any:
    if isinstance(data, str):
        return data.encode(errors="backslashreplace").decode()
    if isinstance(data, Mapping):
        return {_escaped(name): _escaped(value) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [_escaped(item) for item in data]
    return data


def _require_readable(line: bytes, *, header: bool = False, step: int | None = None) -> None:
    """Refuse a line that the reader would refuse."""
    try:
        check_size(line)
    except ValueError as error:
        raise TraceError(
            f"{error}, which is too much for a trace. "
            + ("Split the call" if header else "Truncate the distribution, or record at level 'choice'"),
            step=step,
        ) from error
