"""Where in a text JSON stands: all of it, what follows a block of thinking, or what follows each trigger of a call."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

__all__ = ["Region"]

_BLANK = b" \n\t\r"


@dataclass(frozen=True, slots=True)
class Region:
    """Where a text stands: in JSON or before it.

    Args:
        mark: JSON begins behind this text; '' where all is JSON.
        opened_by: a block of thinking begins so, and a text that begins otherwise is JSON; '' where a text begins
            before the mark.
        opened: the block was opened before the text.
        again: behind the JSON value other text follows, up to the next mark.
        inside: whether the text stands in JSON; None where its first character decides.
        tail: the last bytes before JSON, as many as may begin the mark.
        in_string: whether a string is open.
        escaped: whether the last character was a backslash in a string.
        depth: how many objects and arrays are open.
    """

    mark: str = ""
    opened_by: str = ""
    opened: bool = False
    again: bool = False
    inside: bool | None = field(default=None)
    tail: bytes = b""
    in_string: bool = False
    escaped: bool = False
    depth: int = 0

    @property
    def in_json(self) -> bool:
        """Whether what comes next is JSON and not in a string."""
        inside = self._begun if self.inside is None else self.inside
        return inside is not False and not self.in_string

    @property
    def _begun(self) -> bool | None:
        """Whether a text that has no character yet stands in JSON; None where its first one decides."""
        if not self.mark:
            return True
        return False if self.opened or not self.opened_by else None

    def after(self, byte: int) -> Region:
        """The same after one byte."""
        inside = self._begun if self.inside is None else self.inside
        if inside is None:
            if byte in _BLANK:
                return self
            inside = byte != self.opened_by.encode()[0]
        if not inside:
            tail = (self.tail + bytes([byte]))[-len(self.mark.encode()) :]
            ended = tail == self.mark.encode()
            return replace(self, inside=ended, tail=b"" if ended else tail)
        if self.in_string:
            return replace(
                self, inside=True, in_string=self.escaped or byte != 0x22, escaped=byte == 0x5C and not self.escaped
            )
        depth = self.depth + (byte in b"{[") - (byte in b"}]")
        inside = not (self.again and depth == 0 and self.depth > 0)
        return replace(self, inside=inside, in_string=byte == 0x22, escaped=False, depth=depth)
