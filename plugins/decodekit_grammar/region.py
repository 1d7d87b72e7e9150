"""Where in a text its constrained parts stand: all of it, what follows the thinking, or what follows each trigger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from decodekit_grammar.marks import Marks

__all__ = ["Region", "parts_of"]

_Stage = Literal["start", "thinking", "free", "part", "behind"]


@dataclass(frozen=True, slots=True)
class Region:
    """Where a text stands.

    Args:
        marks: of the constraint.
        stage: 'start' (the next bytes tell whether there is thinking), 'thinking', 'free' (before a trigger), 'part'
            (in what is constrained), or 'behind' (between a call and its end mark).
        tail: the last bytes, as many as may begin a mark.
        in_string: whether a string is open, in a part that is JSON.
        escaped: whether the last character was a backslash in a string.
        depth: how many objects and arrays are open.
    """

    marks: Marks
    stage: _Stage
    tail: bytes = b""
    in_string: bool = False
    escaped: bool = False
    depth: int = 0

    @classmethod
    def at_start(cls, marks: Marks, opened: bool) -> Region:
        """The region before a text; `opened` says whether the prompt has opened the thinking."""
        if not marks.after:
            return cls(marks, _body(marks))
        return cls(marks, "thinking" if opened else "start")

    @property
    def in_json(self) -> bool:
        """Whether what comes next is JSON and not in a string, where the parts are JSON."""
        return not self.in_string and (self.stage == "part" or (self.stage == "start" and not self.marks.trigger))

    def after(self, byte: int) -> Region:
        """The same after one byte."""
        if self.stage == "part":
            return self._in_part(byte)
        seen = self.tail + bytes([byte])
        if self.stage == "start":
            return self._at_start(seen)
        mark, then = {
            "thinking": (self.marks.after, _body(self.marks)),
            "free": (self.marks.trigger, "part"),
            "behind": (self.marks.end, "free"),
        }[self.stage]
        seen = seen[-len(mark) :]
        return Region(self.marks, then) if seen == mark else replace(self, tail=seen)

    def _at_start(self, seen: bytes) -> Region:
        if seen == self.marks.opened_by:
            return Region(self.marks, "thinking")
        if self.marks.opened_by.startswith(seen):
            return replace(self, tail=seen)
        region = Region(self.marks, _body(self.marks))
        for byte in seen:
            region = region.after(byte)
        return region

    def _in_part(self, byte: int) -> Region:
        if self.in_string:
            return replace(self, in_string=self.escaped or byte != 0x22, escaped=byte == 0x5C and not self.escaped)
        depth = self.depth + (byte in b"{[") - (byte in b"}]")
        if self.marks.trigger and depth == 0 and self.depth > 0:
            return Region(self.marks, "behind")
        return replace(self, in_string=byte == 0x22, depth=depth)


def _body(marks: Marks) -> _Stage:
    return "free" if marks.trigger else "part"


def parts_of(data: bytes, region: Region) -> Iterator[str]:
    """The constrained parts of a complete text.

    Args:
        data: the text, as `written` gives it.
        region: the place before it.
    """
    begin = 0
    for at, byte in enumerate(data):
        before, region = region, region.after(byte)
        if region.stage == "part" and before.stage in ("thinking", "free"):
            begin = at + 1
        elif region.stage == "behind" and before.stage == "part":
            yield data[begin : at + 1].decode("utf-8", "replace")
    if not region.marks.trigger:
        yield data[begin:].decode("utf-8", "replace")
