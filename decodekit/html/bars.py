"""A probability as a bar."""

from __future__ import annotations

from decodekit.html.markup import Markup

__all__ = ["bar"]

_WIDEST = 12.0  # em
_COLOUR = "#4878d0"  # 4.3:1 on white and 4.2:1 on #111: a shape needs 3:1


def bar(share: float | None) -> Markup:
    """A bar as long as the probability. It says nothing that the number beside it does not say."""
    width = _WIDEST * min(1.0, max(0.0, share or 0.0))
    return Markup(f'<div style="background:{_COLOUR};height:.8em;width:{width:.2f}em"></div>')
