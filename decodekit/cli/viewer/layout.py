"""Tokens broken into the lines of a screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len, chop_cells

__all__ = ["Fragment", "Layout", "laid_out"]

_NEWLINE = "↵"
_NOTHING = "·"  # a token that added no text, such as the end of the text


@dataclass(frozen=True, slots=True)
class Fragment:
    """What of a token stands on one line.

    Args:
        token: its number.
        text: without a newline.
    """

    token: int
    text: str


@dataclass(slots=True)
class Layout:
    """The lines of a text.

    Args:
        lines: their fragments, from left to right.
        first: the line on which each token begins.
    """

    lines: list[list[Fragment]] = field(default_factory=lambda: [[]])
    first: list[int] = field(default_factory=list)

    def add(self, token: int, text: str) -> None:
        """Add to the last line."""
        self.lines[-1].append(Fragment(token, text))
        if len(self.first) == token:
            self.first.append(len(self.lines) - 1)


def laid_out(texts: Sequence[str], width: int) -> Layout:
    """Tokens on lines. A token that does not fit goes to the next line, whole if it fits there.

    Args:
        texts: of the tokens, with newlines and without any other control character.
        width: cells of a line; wide characters take two.
    """
    made, used, width = Layout(), 0, max(2, width)  # room for a wide character
    for token, text in enumerate(texts):
        for at, line in enumerate((text or _NOTHING).split("\n")):
            if at:
                if len(made.first) == token:  # a newline that is a token of its own is seen
                    made.add(token, _NEWLINE)
                made.lines.append([])
                used = 0
            for piece in (chop_cells(line, width) or [line]) if line else []:
                size = cell_len(piece)
                if used + size > width:
                    made.lines.append([])
                    used = 0
                made.add(token, piece)
                used += size
    return made
