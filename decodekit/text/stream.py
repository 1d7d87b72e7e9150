"""From token bytes to text that can be shown: never half a character, never half a stop string."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

__all__ = ["TextMark", "TextStream"]

TextMark = tuple[tuple[bytes, int], str, int, bool]


class TextStream:
    """Decodes bytes as they come and watches for stop strings across token boundaries.

    Text that could still turn out to be the start of a stop string is held back until it is certain. Bytes that are
    no UTF-8 become U+FFFD.

    Args:
        stop: the strings that end the text; the earliest match wins and is cut.
    """

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self._stop = tuple(stop)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._released: list[str] = []
        self._held = ""
        self.stopped = False

    def mark(self) -> TextMark:
        """Where it stands, to be given to `rewind`. O(1)."""
        return self._decoder.getstate(), self._held, len(self._released), self.stopped

    def rewind(self, mark: TextMark) -> None:
        """Go back to where it stood."""
        state, self._held, released, self.stopped = mark
        self._decoder.setstate(state)
        del self._released[released:]

    @property
    def text(self) -> str:
        """All text released so far."""
        return "".join(self._released)

    def push(self, data: bytes) -> str:
        """Take the bytes of one token and give back the text that is now certain. Sets `stopped` at a match."""
        return self._release(self._held + self._decoder.decode(data), final=False)

    def finish(self) -> str:
        """Give back what was held. An incomplete character becomes U+FFFD."""
        return "" if self.stopped else self._release(self._held + self._decoder.decode(b"", final=True), final=True)

    def _release(self, text: str, *, final: bool) -> str:
        matches = [at for at in (text.find(stop) for stop in self._stop) if at >= 0]
        if matches:
            self.stopped = True
            text, self._held = text[: min(matches)], ""
        else:
            keep = 0 if final else max((_overlap(text, stop) for stop in self._stop), default=0)
            text, self._held = text[: len(text) - keep], text[len(text) - keep :]
        if text:
            self._released.append(text)
        return text


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of ``text`` that begins ``stop``."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
