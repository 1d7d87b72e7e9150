"""What an answer that the server draws is as a whole: events give pieces of it, and some give it again in one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from decodekit.errors import ProviderError
from decodekit_remote.body import joined
from decodekit_remote.dialect import Entry, Whole

__all__ = ["WholeText"]

_QUOTED = 60  # characters of a text in an error


class WholeText:
    """The text of an answer as far as it came, by its parts.

    A whole text is used where nothing of it came in pieces, as from a gateway that does not stream. Where it goes on
    behind the pieces, its rest is used. An empty one says nothing, and white space at both ends is not compared: some
    servers cut it off.

    Args:
        fault: makes the error of a contradiction from what the server did.
    """

    def __init__(self, fault: Callable[[str], ProviderError]) -> None:
        self._fault = fault
        self._parts: dict[tuple[int, ...], str] = {}  # in ascending order
        self._begun: dict[tuple[int, ...], int] = {}  # where the text of a part begins that no whole one has closed
        self._closed: set[tuple[int, ...]] = set()

    def __bool__(self) -> bool:
        return any(self._parts.values())

    def add(self, text: str, part: tuple[int, ...]) -> None:
        """A piece came. Raises `ProviderError` where its part stands before another that came."""
        if not text:
            return
        if self._parts and part < max(self._parts):
            raise self._fault("sent the parts of its answer in another order than theirs")
        came = self._parts.get(part, "")
        if part in self._closed:  # some servers give several parts no place, so that they seem one
            self._closed.remove(part)
            self._begun[part] = len(came)
        self._parts[part] = came + text

    def continues(self, text: str, part: tuple[int, ...], start: Whole) -> bool:
        """Whether a piece goes on behind the text at the beginning of its part, in place of giving it once more."""
        return start.part == part and part not in self._parts and not start.text.startswith(text)

    def rest(self, whole: Whole) -> tuple[str, Sequence[Entry]]:
        """What a whole text has beyond the pieces, which counts as come from now on, and its tokens.

        Raises:
            ProviderError: it is another text than that of the pieces.
        """
        part = max(self._parts, default=(0,)) if whole.part is None else whole.part
        pieces = "".join(self._parts.values()) if whole.part is None else self._parts.get(part, "")
        last = joined(pieces[self._begun.get(part, 0) :])
        came, text = joined(pieces), joined(whole.text)
        if whole.part is not None:
            self._closed.add(part)
            came = came if text.strip() == came.strip() else last
        if not text or text.strip() == came.strip():
            return "", ()
        if not text.startswith(came):
            raise self._fault(
                f"sent {_short(came)} in pieces, and {_short(text)} as the whole of it; nobody can tell which is right"
            )
        self._closed.discard(part)
        self.add(text[len(came) :], part)
        self._closed |= set() if whole.part is None else {part}
        return text[len(came) :], () if came else whole.entries


def _short(text: str) -> str:
    return repr(text if len(text) <= _QUOTED else f"{text[: _QUOTED // 2]}…{text[-_QUOTED // 2 :]}")
