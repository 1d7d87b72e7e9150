"""Surprisal, by which the tokens of a page are coloured: the same eight bands as in the report's colour.js."""

from __future__ import annotations

from itertools import pairwise

__all__ = ["BANDS", "EDGES", "band_of", "surprisal_of"]

EDGES = (0.05, 0.2, 0.5, 1.0, 2.0, 3.5, 6.0)
"""In nats: the first surprisal of each band but the lowest."""

BANDS = (
    f"< {EDGES[0]:g}",
    *(f"{low:g}–{high:g}" for low, high in pairwise(EDGES)),
    f"≥ {EDGES[-1]:g}",
)
"""What each band is called."""


def surprisal_of(logprob: float | None) -> float | None:
    """The surprisal of a token, in nats; None where it is not known.

    Args:
        logprob: in nats.
    """
    return None if logprob is None else max(0.0, -logprob)


def band_of(logprob: float | None) -> int | None:
    """The band of a token's surprisal under the model, from 0 to 7; None where it is not known.

    Args:
        logprob: in nats.
    """
    surprisal = surprisal_of(logprob)
    return None if surprisal is None else sum(surprisal >= edge for edge in EDGES)
