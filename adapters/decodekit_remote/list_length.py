"""How many of the most likely tokens each list shows: more, when lists were often too short for a draw."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ListLength"]

_OFTEN = 0.5  # of the answers
_GROWTH = 4
_LONGEST = 8192


@dataclass
class ListLength:
    """Learns from repeated questions. A longer list costs bytes, another request costs a round trip.

    Args:
        top: how many tokens to begin with.
        longest: no list grows beyond this, or beyond 8,192.
    """

    top: int
    longest: int
    _too_short: float = 0.0

    def answered(self, *, too_short: bool) -> None:
        """A list was requested, or was too short and is requested again."""
        self._too_short += 0.05 * (too_short - self._too_short)
        if self._too_short > _OFTEN:
            self.top = max(self.top, min(_GROWTH * self.top, self.longest, _LONGEST))
            self._too_short = 0.0
