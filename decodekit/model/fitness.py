"""What works with an adapter, what works at a price, and what does not: verdicts for the user."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["Fit", "Fitness"]

Fit = Literal["works", "works but", "cannot"]


class Fitness(NamedTuple):
    """One verdict. An adapter may have a method ``fitness(drawn=...)`` that returns those that it knows without asking,
    for answers that its provider draws, or for distributions.

    Args:
        what: what was looked at.
        word: the verdict.
        why: the reason or the price.
        remedy: the way out; '' where there is none, or none is needed.
    """

    what: str
    word: Fit
    why: str
    remedy: str = ""
