"""Writing a trace: a step reaches the operating system before its token is handed out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Self

from decodekit.errors import TraceError
from decodekit.trace.codec import digest, encode_step, to_line
from decodekit.trace.header import Footer, Header, Resumption, SequenceEnd
from decodekit.trace.step import Step

__all__ = ["TraceWriter"]


class TraceWriter:
    """Writes one run into one new file, readable by its owner only.

    Args:
        path: the file; it must not exist.
        header: what the run starts from.
        fsync: wait for the disk after each line. A killed process loses nothing either way; a power cut may.

    Raises:
        TraceError: the file exists or cannot be made; later, a line could not be written in full.
    """

    def __init__(self, path: str | os.PathLike[str], header: Header, *, fsync: bool = False) -> None:
        self.path = Path(path)
        self._fsync = fsync
        self._contents = blake2b(digest_size=16)
        self._prev = ""
        self._steps = 0
        try:
            self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        except FileExistsError:
            raise TraceError(f"{self.path} exists; a trace is written once. Choose another path or remove it") from None
        except OSError as error:
            raise TraceError(f"cannot make {self.path}: {error.strerror}") from error
        self._open = True
        content = to_line(header.content())
        self._line(b'{"kind":"header","content":' + content + b',"created":"%s"}' % _now().encode(), content)

    def write(self, step: Step) -> None:
        """Append one step."""
        content = to_line(encode_step(step))
        timing = b'{"predict":%.7f,"chain":%.7f}' % (step.timing.predict, step.timing.chain)
        head = b'{"kind":"step","prev":"%s","content":' % self._prev.encode()
        self._line(head + content + b',"timing":' + timing + b"}", content)
        self._steps += 1

    def resumed(self, resumption: Resumption) -> None:
        """Say that the run was taken up again."""
        line = to_line({"kind": "resumed", "prev": self._prev, "content": asdict(resumption), "created": _now()})
        self._line(line, b"")

    def close(self, ends: Sequence[SequenceEnd] = ()) -> Footer:
        """Write the footer and close the file. Does nothing more the second time."""
        footer = Footer(list(ends), self._contents.hexdigest())
        if self._open:
            try:
                body = to_line({"kind": "footer", "prev": self._prev, "content": asdict(footer)})
                self._write(body[:-1] + b',"check":"' + digest(body[:-1]).encode() + b'"}\n')
            finally:
                self.abandon()
        return footer

    def abandon(self) -> None:
        """Close the file without a footer: the trace stays, and is incomplete."""
        if self._open:
            self._open = False
            os.close(self._file)

    def _line(self, line: bytes, content: bytes) -> None:
        self._write(line + b"\n")
        self._contents.update(content)
        self._prev = digest(line)

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
                "What is there is intact up to its last whole line; free some room and recover it",
                step=self._steps,
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.abandon()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
