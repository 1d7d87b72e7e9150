"""A text with its tokens coloured by surprisal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

from decodekit.html.markup import Markup, shown
from decodekit.text.safe_text import safe_text

__all__ = ["STYLES", "Piece", "key", "tokens"]

STYLES = (
    "",
    "color:#000;background:#c6e4f2",
    "color:#000;background:#a5dba8;text-decoration:underline dotted",
    "color:#000;background:#fde725;text-decoration:underline dashed",
    "color:#fff;background:#7a0177;text-decoration:underline;font-weight:bold",
)
"""By band of surprisal. A line under the token says the same as its colour. The contrast is at least 4.5:1."""

_UNKNOWN = "font-style:italic"


@dataclass(frozen=True, slots=True)
class Piece:
    """What one token added to a text.

    Args:
        text: any text.
        band: of its surprisal, an index into `STYLES`; None where the surprisal is not known.
        title: what is shown of it on hovering.
    """

    text: str
    band: int | None
    title: str = ""


def tokens(pieces: Iterable[Piece], *, before: str = "") -> Markup:
    """The pieces as one running text.

    Args:
        pieces: in their order.
        before: the end of the text that came before; it is not coloured.
    """
    read = f"<span>{shown(before, newlines=True)}</span>" if before else ""
    written = "".join(map(_span, pieces))
    return Markup(f'<p style="white-space:pre-wrap;overflow-wrap:anywhere">{read}{written}</p>')


def key(names: Iterable[str]) -> Markup:
    """What the colours stand for: a name for each of `STYLES`."""
    named = " ".join(_span(Piece(name, band)) for band, name in enumerate(names))
    return Markup(f"<p><small>surprisal: {named}</small></p>")


def _span(piece: Piece) -> str:
    style = _UNKNOWN if piece.band is None else STYLES[piece.band]
    styled = f' style="{style}"' if style else ""
    title = f' title="{escape(safe_text(piece.title))}"' if piece.title else ""
    return f"<span{styled}{title}>{shown(piece.text, newlines=True)}</span>"
