"""Markup that is safe to show: every text is escaped, unless it is markup that was made here.

The styles stand in the elements, because GitHub, nbviewer and untrusted notebooks drop style sheets. Text has the
colours of the page around it, in the light and in the dark; what has a background of its own names both colours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from decodekit.text.safe_text import safe_text

__all__ = ["Markup", "block", "details", "join", "note", "sentences", "shown", "table"]

_LONGEST = 400  # characters of a text that stands in a cell or a line
_CELL = "padding:.1em .6em;text-align:"


class Markup(str):
    """HTML that was made in this package. Any other string is text."""

    __slots__ = ()


def shown(text: str, *, newlines: bool = False) -> Markup:
    """A text as markup: invisible characters as escapes such as ``\\x1b``, and nothing that a browser reads as markup.

    Args:
        text: any text; one that is markup is returned as it is.
        newlines: leave newlines as they are, for running text.
    """
    return text if isinstance(text, Markup) else Markup(escape(safe_text(text, newlines=newlines)))


def join(parts: Iterable[str]) -> Markup:
    """The parts one after another, each escaped that is not markup."""
    return Markup("".join(map(shown, parts)))


def block(*parts: str) -> Markup:
    """What a cell of a notebook shows as one thing."""
    return Markup(f'<div style="max-width:60em;overflow-x:auto">{join(parts)}</div>')


def note(text: str) -> Markup:
    """A sentence on what is shown, or what is not."""
    return Markup(f"<p><small>{_brief(text)}</small></p>")


def sentences(facts: Iterable[tuple[str, str]]) -> Markup:
    """Names with a sentence each, a line for each."""
    body = "<br>".join(f"{_brief(name)}: {_brief(sentence)}" for name, sentence in facts)
    return Markup(f"<p>{body}</p>")


def details(summary: str, body: str) -> Markup:
    """A part that is closed until it is clicked; it needs no script."""
    return Markup(f"<details><summary>{_brief(summary)}</summary>{shown(body)}</details>")


def table(
    caption: str,
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    left: int = 0,
    bold: frozenset[int] = frozenset(),
) -> Markup:
    """A table with numbers to the right.

    Args:
        caption: above it.
        headings: of the columns; '' for none.
        rows: their cells, as text or as markup.
        left: how many of the first columns are text, to the left.
        bold: the rows that stand out, by their number.
    """
    sides = ["left" if at < left else "right" for at in range(len(headings))]
    head = "".join(_heading(heading, side) for heading, side in zip(headings, sides, strict=True))
    body = "".join(_row(cells, sides, bold=at in bold) for at, cells in enumerate(rows))
    return Markup(
        f'<table style="border-collapse:collapse"><caption style="text-align:left">{_brief(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _heading(heading: str, side: str) -> str:
    """An empty cell is no heading: a screen reader would announce it."""
    if not heading:
        return "<td></td>"
    return f'<th scope="col" style="{_CELL}{side}">{_brief(heading)}</th>'


def _row(cells: Sequence[str], sides: Sequence[str], *, bold: bool) -> str:
    weight = ' style="font-weight:bold"' if bold else ""
    made = (f'<td style="{_CELL}{side}">{_brief(cell)}</td>' for side, cell in zip(sides, cells, strict=True))
    return f"<tr{weight}>{''.join(made)}</tr>"


def _brief(text: str) -> Markup:
    """A token may be a megabyte long; its beginning is enough here."""
    if isinstance(text, Markup) or len(text) <= _LONGEST:
        return shown(text)
    return shown(text[:_LONGEST] + "…")
