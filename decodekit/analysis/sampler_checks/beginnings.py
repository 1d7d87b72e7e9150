"""Which beginnings of texts were continued before.

A server that ignores the seed may have the same noise for every request, or return a stored answer. Two texts are then
one draw, and evidence that multiplies would count it twice. Where each beginning counts once, texts that repeat one
another say nothing new, and what texts of their own noise lose is their first few tokens.
"""

from __future__ import annotations

from collections.abc import Hashable

__all__ = ["Beginnings"]


class Beginnings:
    """A tree of texts.

    Attributes:
        ends: ids of tokens in the lists of these texts that may be ends of text.
    """

    def __init__(self) -> None:
        self.ends: set[int] = set()
        self._after: dict[tuple[Hashable, int], int] = {}
        self._continued: set[Hashable] = set()

    def is_new(self, place: Hashable) -> bool:
        """Whether a place, a prompt or what `after` returned, is asked about for the first time."""
        known = place in self._continued
        self._continued.add(place)
        return not known

    def after(self, place: Hashable, token_id: int) -> Hashable:
        """The place after one more token."""
        return self._after.setdefault((place, token_id), len(self._after))
