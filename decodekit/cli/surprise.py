"""The style of a token by its surprisal, in the few colours that a terminal has."""

from __future__ import annotations

import math

__all__ = ["BANDS", "colour_of", "style_of"]

_LIMITS = (1.0, 2.0, 4.0, 8.0)  # bits
_COLOURS = ("", "cyan", "green", "yellow", "bold red")
_MARKS = ("", "italic", "underline", "bold", "bold underline")  # for eyes and terminals that see no colour
_UNKNOWN = "dim"

BANDS = tuple(
    (name, f"{colour} {mark}".strip())
    for name, colour, mark in zip(
        ("up to 1 bit", "up to 2 bits", "up to 4 bits", "up to 8 bits", "more"), _COLOURS, _MARKS, strict=True
    )
)
"""(name, style) of each band."""


def colour_of(logprob: float | None) -> str:
    """The colour of a token by its log-probability under the model, in nats; dim where that is not known."""
    return _UNKNOWN if logprob is None else _COLOURS[_band(logprob)]


def style_of(logprob: float | None) -> str:
    """The colour and a mark that says the same."""
    return _UNKNOWN if logprob is None else BANDS[_band(logprob)][1]


def _band(logprob: float) -> int:
    bits = -logprob / math.log(2)
    return sum(bits > limit for limit in _LIMITS)
