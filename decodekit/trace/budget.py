"""A limit on the bytes of a trace file: steps lose what is long, and no token is lost.

What is counted depends on the contents only, not on times, so equal runs are shortened at the same step.
"""

from __future__ import annotations

from dataclasses import replace

from decodekit.errors import TraceError
from decodekit.trace.header import Header
from decodekit.trace.lines import Line
from decodekit.trace.step import Step

__all__ = ["Budget", "shortened"]

_AROUND = 128  # bytes of a line besides its content: digest and times
_SHORT_STEP, _SHORT_ENTRY = 768, 256  # bytes that a short step needs, and each of its processors
_FOOTER, _END = 512, 160  # bytes of the footer, and of each sequence in it


class Budget:
    """Follows the lines of one trace.

    Args:
        limit: bytes of the file.
        header: says how many steps there may be.
        first: its line, which is not counted yet.

    Raises:
        TraceError: not even the header and the footer fit.
    """

    def __init__(self, limit: int, header: Header, first: Line) -> None:
        self.limit = limit
        self._left = limit - _FOOTER - _END * len(header.sequences)
        self._later = _most_steps(header)
        self._short = _SHORT_STEP + _SHORT_ENTRY * len(header.chain.get("processors", ()))
        if not self.has_room(first):
            raise TraceError(f"max_bytes={limit} is not enough for the header and the footer of this trace")

    def allows(self, line: Line) -> bool:
        """Whether a step can be written in full: all later ones still have room, in short."""
        return self._left - _size(line) >= max(self._later - 1, 0) * self._short

    def has_room(self, line: Line) -> bool:
        """Whether a line fits at all."""
        return _size(line) <= self._left

    def take(self, line: Line, *, step: bool = False) -> None:
        """Count a line that is written."""
        self._left -= _size(line)
        self._later -= step


def shortened(step: Step) -> Step:
    """The step without what proves its draw, the model's whole answer, and the leading tokens."""
    raw, entries = replace(step.raw, top=()), tuple(replace(entry, top=()) for entry in step.entries)
    return replace(step, raw=raw, entries=entries, evidence=None, row=None)


def _size(line: Line) -> int:
    return (len(line.content) or len(line.data)) + _AROUND


def _most_steps(header: Header) -> int:
    most = header.stop.get("max_tokens")
    return most * len(header.sequences) if isinstance(most, int) else 0
