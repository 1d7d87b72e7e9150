"""How many of the likeliest tokens are listed as a rule: more, once lists were often too short to settle a draw."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Width"]

_OFTEN = 0.5  # of the answers
_GROWTH = 4
_WIDEST = 8192


@dataclass
class Width:
    """Learns from what was asked again. A longer list costs bytes, another question costs a trip.

    Args:
        top: how many to begin with.
        widest: no list grows beyond this, or beyond 8,192.
    """

    top: int
    widest: int
    _short: float = 0.0

    def answered(self, *, short: bool) -> None:
        """A list was asked for, or was too short and is asked for again."""
        self._short += 0.05 * (short - self._short)
        if self._short > _OFTEN:
            self.top, self._short = max(self.top, min(_GROWTH * self.top, self.widest, _WIDEST)), 0.0
