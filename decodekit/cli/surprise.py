"""The style of a token by its surprisal."""

from __future__ import annotations

from decodekit.trace.surprisal import band_of

__all__ = ["COLOURS", "MARKS", "colour_of", "style_of"]

COLOURS = ("", "cyan", "green", "yellow", "bold red")
"""By band of surprisal, where the text is shown as it is made."""

MARKS = ("", "italic", "underline", "bold", "bold underline")
"""A sign beside the colour, for eyes and terminals that see none."""

_UNKNOWN = "dim"


def colour_of(logprob: float | None) -> str:
    """The colour of a token by its log-probability under the model, in nats; dim where that is not known."""
    band = band_of(logprob)
    return _UNKNOWN if band is None else COLOURS[band]


def style_of(logprob: float | None) -> str:
    """The colour and the mark."""
    band = band_of(logprob)
    return _UNKNOWN if band is None else f"{COLOURS[band]} {MARKS[band]}".strip()
