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
    "color:#000;background:#f8f2b6",
    "color:#000;background:#d9ebaa",
    "color:#000;background:#a9dcae",
    "color:#000;background:#66c2a4",
    "color:#000;background:#3f9ba6",
    "color:#fff;background:#365c8d",
    "color:#fff;background:#440154",
)
"""By band of surprisal: the colours of the report's page.css in the light. Each contrast is at least 4.5:1."""

_TEXT = "white-space:pre-wrap;overflow-wrap:anywhere;font-family:monospace;font-size:1.1em;line-height:1.6"
_UNLIKELY = "text-decoration:underline dotted"
_UNKNOWN = "font-style:italic"


@dataclass(frozen=True, slots=True)
class Piece:
    """What one token added to a text.

    Args:
        text: any text.
        band: of its surprisal, an index into `STYLES`; None where the surprisal is not known.
        title: what is shown of it on hovering.
        unlikely: whether a dotted line says that the model gave it less than a half.
    """

    text: str
    band: int | None
    title: str = ""
    unlikely: bool = False


def tokens(pieces: Iterable[Piece], *, before: str = "") -> Markup:
    """The pieces as one running text.

    Args:
        pieces: in their order.
        before: the end of the text that came before; it is not coloured.
    """
    read = f"<span>{shown(before, newlines=True)}</span>" if before else ""
    written = "".join(map(_span, pieces))
    return Markup(f'<p style="{_TEXT}">{read}{written}</p>')


def key(names: Iterable[str]) -> Markup:
    """What the colours stand for: a name for each of `STYLES`."""
    named = " ".join(_span(Piece(name, band)) for band, name in enumerate(names))
    dotted = _span(Piece("dotted", 0, unlikely=True))
    return Markup(f"<p><small>surprisal under the model, in nats: {named} {dotted}: under 50 %</small></p>")


def _span(piece: Piece) -> str:
    colour = _UNKNOWN if piece.band is None else STYLES[piece.band]
    style = ";".join(filter(None, (colour, _UNLIKELY if piece.unlikely else "")))
    styled = f' style="{style}"' if style else ""
    title = f' title="{escape(safe_text(piece.title))}"' if piece.title else ""
    return f"<span{styled}{title}>{shown(piece.text, newlines=True)}</span>"
