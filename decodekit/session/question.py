"""What a run asks its adapter for."""

from __future__ import annotations

from typing import NamedTuple

from decodekit.distribution.disclosure import Disclosure
from decodekit.model.prefix import Prefix
from decodekit.session.together import Drawing

__all__ = ["Question"]


class Question(NamedTuple):
    """What to ask the adapter for: the distributions after these prefixes.

    Args:
        prefixes: one per active sequence, each followed by the guessed prefixes of that sequence.
        needs: what to disclose of each.
        entering: those of the prefixes whose sequence starts now: the prompts.
        tokens: how many tokens of prompts the adapter has not evaluated yet, at most.
        caller: whose rows may be drawn together with those of other callers; None where nothing is drawn together.
    """

    prefixes: list[Prefix]
    needs: list[Disclosure]
    entering: list[Prefix]
    tokens: int = 0
    caller: Drawing | None = None
