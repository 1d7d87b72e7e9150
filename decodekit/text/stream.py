"""From token bytes to text that can be shown: never half a character, never half a stop string."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

__all__ = ["TextCheckpoint", "TextStream", "overlap"]

_FIRST_SURROGATE = 0xD800  # half of a surrogate pair: no text that was decoded has one
TextCheckpoint = tuple[tuple[bytes, int], str, int, bool]


class TextStream:
    """Decodes bytes as they come and watches for stop strings across token boundaries.

    Text that could still turn out to be the start of a stop string is held back until it is certain. Bytes that are
    no UTF-8 become U+FFFD.

    Args:
        stop: the strings that end the text; the earliest match wins and is cut.
        named: readings of stop strings that name control tokens (see `decodekit.text.markup.reading`): they end the
            text as well, and the tokens are never shown.
    """

    def __init__(self, stop: Sequence[str] = (), named: Sequence[tuple[str | int, ...]] = ()) -> None:
        self._stop = tuple(stop)
        ids = sorted({part for parts in named for part in parts if isinstance(part, int)})
        self._symbols = {token_id: chr(_FIRST_SURROGATE + i) for i, token_id in enumerate(ids)}
        self._stands_for = frozenset(self._symbols.values())
        self._named = tuple(
            "".join(self._symbols[part] if isinstance(part, int) else part for part in parts) for parts in named
        )
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._released: list[str] = []
        self._held = ""
        self.stopped = False

    def checkpoint(self) -> TextCheckpoint:
        """The current position, for `rewind`. O(1)."""
        return self._decoder.getstate(), self._held, len(self._released), self.stopped

    def rewind(self, checkpoint: TextCheckpoint) -> None:
        """Go back to that position."""
        state, self._held, released, self.stopped = checkpoint
        self._decoder.setstate(state)
        del self._released[released:]

    @property
    def text(self) -> str:
        """All text released so far."""
        return "".join(self._released)

    @property
    def holds(self) -> bool:
        """Whether something is held back that `finish` or `push` would still release."""
        return bool(self._held or self._decoder.getstate()[0])

    def push(self, data: bytes, token_id: int | None = None) -> str:
        """Take the bytes of one token and return the text that is now certain. Sets `stopped` at a match.

        Args:
            data: its bytes.
            token_id: its id, which identifies a control token that a stop string names.
        """
        text = self._decoder.decode(data) if token_id not in self._symbols else self._symbols[token_id]
        return self._release(self._held + text, final=False)

    def finish(self) -> str:
        """Return the text that was held back. An incomplete character becomes U+FFFD."""
        return "" if self.stopped else self._release(self._held + self._decoder.decode(b"", final=True), final=True)

    def _release(self, text: str, *, final: bool) -> str:
        """Return the part of the held text that is now certain; named control tokens are symbols in it."""
        if not self._stop and not self._named:
            self._released.append(text)
            return text
        shown = [at for at, character in enumerate(text) if character not in self._stands_for]
        plain = "".join(text[at] for at in shown) if self._symbols else text
        starts = [shown[at] for stop in self._stop if (at := plain.find(stop)) >= 0]
        starts += [at for stop in self._named if (at := text.find(stop)) >= 0]
        if starts:
            self.stopped = True
            text, self._held = text[: min(starts)], ""
        else:
            begun = [shown[-size] for stop in self._stop if (size := overlap(plain, stop))]
            begun += [len(text) - size for stop in self._named if (size := overlap(text, stop))]
            certain = len(text) if final else min(begun, default=len(text))
            text, self._held = text[:certain], text[certain:]
        if self._symbols:
            text = "".join(character for character in text if character not in self._stands_for)
        if text:
            self._released.append(text)
        return text


def overlap(text: str, stop: str) -> int:
    """The length of the longest suffix of ``text`` that is a proper prefix of ``stop``."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
