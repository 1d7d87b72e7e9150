"""What the words of a verification mean, and their colours."""

from __future__ import annotations

__all__ = ["GOOD", "MEANING", "STYLE"]

GOOD = frozenset({"reproduced", "proved", "consistent", "ambiguous"})
"""The words that let a command exit with 0."""

MEANING = {
    "reproduced": "the final scores follow from the raw rows, and each choice from them",
    "proved": "each choice follows from the recorded final scores and the seed",
    "consistent": "nothing contradicts, and something is missing",
    "ambiguous": "a choice lies within 1e-9 of another",
    "incomplete": "the run has no end",
    "failed": "the record contradicts itself",
    "unreadable": "the file is no trace that this version reads",
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
