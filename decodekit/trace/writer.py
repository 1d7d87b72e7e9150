"""Writing a trace: a step reaches the operating system before its token is returned."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from decodekit.errors import TraceError
from decodekit.trace.budget import Budget, shortened
from decodekit.trace.header import Footer, Header, Resumption, SequenceEnd
from decodekit.trace.lines import Line, Lines
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
        max_bytes: the file becomes no longer: steps are shortened (`decodekit.trace.budget.shortened`) so that all that
            the run may make have room. None for no limit.

    Raises:
        TraceError: the file exists or cannot be created; later, a line could not be written in full, or has no room.
    """

    def __init__(self, path: PathLike, header: Header, *, fsync: bool = False, max_bytes: int | None = None) -> None:
        self.path = Path(path)
        self._fsync = fsync
        self._lines = Lines()
        self._steps = 0
        self._counts: Counter[int] = Counter()  # of each stream
        self._shortened = 0
        self._in_doubt = False
        first = self._lines.header(header)
        self._budget = None if max_bytes is None else Budget(max_bytes, header, first)
        try:
            self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        except FileExistsError:
            raise TraceError(f"{self.path} exists; a trace is written once. Choose another path or remove it") from None
        except OSError as error:
            folder = self.path.parent
            why = error.strerror if folder.is_dir() else f"there is no folder {str(folder)!r}"
            raise TraceError(f"cannot create {self.path}: {why}") from error
        except ValueError as error:  # a name with a zero byte
            raise TraceError(f"cannot create {os.fspath(path)!r}: {error}") from error
        self._open = True
        try:
            self._append(first)
        except BaseException:  # a file without a header is useless, and would block the next attempt
            self.discard()
            raise

    def write(self, step: Step) -> None:
        """Append one step."""
        line = self._lines.step(step, self._steps)
        short = self._budget is not None and not self._budget.allows(line)
        if short:
            line = self._lines.step(shortened(step), self._steps)
            self._require_room(line)
        self._append(line, step.stream, short=short)

    def resumed(self, resumption: Resumption) -> None:
        """Write that the run was resumed."""
        line = self._lines.resumed(resumption)
        self._require_room(line)
        self._append(line)

    def close(self, ends: Sequence[SequenceEnd]) -> Footer | None:
        """Write the footer and close the file. Does nothing the second time.

        Args:
            ends: how each sequence ended, in the order of the header.

        Returns:
            The footer; None if none was written, because the file was closed or a write was interrupted, because the
            ends count other steps than were written, or because it has no room.
        """
        try:
            if not self._open or self._in_doubt or any(self._counts[end.stream] != end.tokens for end in ends):
                return None
            self._in_doubt = True  # from here to the end: an interrupt may come before the file is closed
            line, footer = self._lines.footer(ends, self._shortened)
            if self._budget is not None and os.fstat(self._file).st_size + len(line) > self._budget.limit:
                return None  # long texts of errors
            self._write(line)
        finally:
            self.abandon()
        return footer

    def abandon(self) -> None:
        """Close the file without a footer: the trace stays, and is incomplete."""
        if self._open:
            self._open = False
            os.close(self._file)

    def discard(self) -> None:
        """Close and remove the file: the run did not begin."""
        self.abandon()
        with suppress(OSError):
            self.path.unlink()

    def _require_room(self, line: Line) -> None:
        if self._budget is not None and not self._budget.has_room(line):
            raise TraceError(
                f"{self.path} has reached its max_bytes={self._budget.limit} after {self._steps} steps; "
                "give it more, or the run fewer max_tokens",
                step=self._steps,
            )

    def _append(self, line: Line, stream: int | None = None, *, short: bool = False) -> None:
        """Write a line and count it; everything that can fail is done before the write."""
        if self._in_doubt:
            raise TraceError(f"writing to {self.path} was interrupted; resume the run", step=self._steps)
        self._in_doubt = True
        self._write(line.data + b"\n")
        self._lines.add(line)
        if stream is not None:
            self._steps += 1
            self._counts[stream] += 1
        self._shortened += short
        if self._budget is not None:
            self._budget.take(line, step=stream is not None)
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
