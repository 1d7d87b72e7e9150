"""The meaning and the colour of each word of a verification."""

from __future__ import annotations

__all__ = ["GOOD", "MEANING", "STYLE"]

GOOD = frozenset({"reproduced", "proved", "consistent", "ambiguous"})
"""The words that let a command exit with 0."""

MEANING = {
    "reproduced": "the final scores follow from the raw rows, and each choice from them",
    "proved": "each choice follows from the recorded final scores and the seed",
    "consistent": "no contradiction was found, but something needed for a proof is missing",
    "ambiguous": "a choice is so close (1e-9) that rounding could have changed it",
    "incomplete": "the run has no recorded end",
    "failed": "the record contradicts itself",
    "unreadable": "the file is not a trace that this version can read",
}

STYLE = {
    "reproduced": "bold green",
    "proved": "bold green",
    "consistent": "bold cyan",
    "ambiguous": "bold yellow",
    "incomplete": "bold yellow",
    "failed": "bold red",
    "unreadable": "bold red",
}
