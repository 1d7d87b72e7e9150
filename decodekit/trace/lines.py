"""The lines of a trace: each with the digest of the line before."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any, NamedTuple

from decodekit.errors import TraceError
from decodekit.trace.codec import check_size, digest, encode_step, to_line
from decodekit.trace.header import Footer, Header, Resumption, SequenceEnd
from decodekit.trace.step import Step

__all__ = ["Line", "Lines"]


class Line(NamedTuple):
    """A line that is not added yet.

    Args:
        data: its bytes, without the newline.
        content: the part of them that counts for the digest of all contents.
    """

    data: bytes
    content: bytes


class Lines:
    """Makes the lines of one trace. A line is made, then perhaps written, and then added; only that changes anything.

    Each of its functions raises `TraceError` for what a trace cannot hold, or a reader would refuse.
    """

    def __init__(self) -> None:
        self._prev, self._contents = "", blake2b(digest_size=16)

    def add(self, line: Line) -> bytes:
        """Go on after this line. Returns its bytes with a newline."""
        prev, contents = digest(line.data), self._contents.copy()
        contents.update(line.content)
        self._prev, self._contents = prev, contents
        return line.data + b"\n"

    def header(self, header: Header) -> Line:
        """The first line."""
        content = _line_of(header.content())
        line = b'{"kind":"header","content":' + content + b',"created":%s}' % json.dumps(header.created).encode()
        _require_readable(line, header=True)
        return Line(line, content)

    def step(self, step: Step, number: int) -> Line:
        """The line of a step; ``number`` names it in an error."""
        content = _line_of(encode_step(step))
        timing = b'{"predict":%.7f,"chain":%.7f}' % (step.timing.predict, step.timing.chain)
        head = b'{"kind":"step","prev":"%s","content":' % self._prev.encode()
        line = head + content + b',"timing":' + timing + b"}"
        _require_readable(line, step=number)
        return Line(line, content)

    def resumed(self, resumption: Resumption) -> Line:
        """The line that says that the run was resumed."""
        content, created = resumption.content(), resumption.created
        return Line(_line_of({"kind": "resumed", "prev": self._prev, "content": content, "created": created}), b"")

    def footer(self, ends: Sequence[SequenceEnd], shortened: int = 0) -> tuple[bytes, Footer]:
        """The last line with its newline, and the footer in it; in one that is too long, calls are shortened."""
        line, footer = self._footer(ends, shortened)
        try:
            check_size(line)
        except ValueError:
            short = [replace(end, tool_calls=tuple(call.shortened() for call in end.tool_calls)) for end in ends]
            return self._footer(short, shortened)
        return line, footer

    def _footer(self, ends: Sequence[SequenceEnd], shortened: int) -> tuple[bytes, Footer]:
        footer = Footer(list(ends), self._contents.hexdigest(), shortened)
        content = {"ends": [end.content() for end in ends], "contents": footer.contents}
        body = _line_of(
            {"kind": "footer", "prev": self._prev, "content": content | ({"shortened": shortened} if shortened else {})}
        )[:-1]
        return body + b',"check":"' + digest(body).encode() + b'"}\n', footer


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
