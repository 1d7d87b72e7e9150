"""The text of an answer that the server draws, cut into the tokens that its lists name."""

from __future__ import annotations

from collections.abc import Sequence

from decodekit_remote.body import HALF, joined, mended
from decodekit_remote.dialect import Entry

__all__ = ["ListedText"]


class ListedText:
    """Pairs the text of the events with the entries of their lists, which may come earlier than their text.

    The text is what the server says; an entry only says which part of it is one token, and how likely that was. Where
    entries, one after the other, are not the text, the text is one entry without a list: some servers list fewer tokens
    than an event has, the token that ends the turn, or other spellings (``Ġ`` for a space, U+FFFD, ``token_id:7``).
    An entry whose text never comes is dropped.

    Attributes:
        dropped: entries were dropped because they are not the text, by the last call.
    """

    def __init__(self) -> None:
        self._text = b""  # begins inside the first of the entries
        self._listed: list[Entry] = []
        self._half = ""  # of a surrogate pair
        self.dropped = False

    def take(self, text: str, entries: Sequence[Entry]) -> list[Entry]:
        """The entries that are complete with what an event adds."""
        self.dropped = False
        self._text += self._whole(text).encode()
        self._listed += entries
        for listed in (self._listed, list(entries)):
            count, size = _covered(self._text, listed)
            if count is not None:
                self._text, self._listed = self._text[size:], listed[count:]
                return listed[:count]
        return self.finish()

    def finish(self) -> list[Entry]:
        """What is left of the text, when no entry can fit it any more."""
        self.dropped = bool(self._listed)
        text, self._text, self._listed = self._text.decode(), b"", []
        return [Entry(text)] if text else []

    def end(self) -> list[Entry]:
        """What is left at the end of the answer: half a character becomes U+FFFD."""
        self._text += ("�" if self._half else "").encode()
        self._half = ""
        return self.finish()

    def _whole(self, text: str) -> str:
        """The text with surrogate pairs joined; the first half of one waits for the next event."""
        text, self._half = self._half + text, ""
        if not HALF.search(text):
            return text
        if "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return str(mended(joined(text)))


def _covered(text: bytes, listed: Sequence[Entry]) -> tuple[int | None, int]:
    """How many of the entries the text has in full, and its bytes in them; None where it has another beginning."""
    size = 0
    for count, entry in enumerate(listed):
        piece = _bytes_of(entry)
        if piece is None or not (text.startswith(piece, size) or piece.startswith(text[size:])):
            return None, 0
        if len(piece) > len(text) - size:
            return count, size  # its text is yet to come
        size += len(piece)
    return (len(listed), size) if size == len(text) else (None, 0)


def _bytes_of(entry: Entry) -> bytes | None:
    if isinstance(entry.token, str):
        return entry.token.encode("utf-8", "surrogatepass")
    return entry.token if isinstance(entry.token, bytes) else None
