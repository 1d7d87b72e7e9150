"""The result of a verification: a word for each step, and one for the whole trace."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["STRENGTH", "Finding", "Verdict", "Word"]

Word = Literal["reproduced", "proved", "ambiguous", "consistent", "incomplete", "failed"]
STRENGTH: tuple[Word, ...] = ("failed", "incomplete", "consistent", "ambiguous", "proved", "reproduced")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a trace proves. The word is that of its weakest step.

    Args:
        word: 'reproduced' (the final scores follow from the raw rows through the recorded processors, and the choices
            from them), 'proved' (the choices follow from the recorded final scores and the seed), 'ambiguous' (some
            margin is under 1e-9), 'consistent' (no contradiction was found, but something is missing), 'incomplete'
            (the run has no recorded end), 'failed'.
        step: the first step with that word, if it is worse than 'proved'; None otherwise.
        why: the reason, in a sentence.
        counts: how many steps have each word.
        words: the word of each step, in the order of the trace.
    """

    word: Word
    step: int | None
    why: str
    counts: dict[Word, int] = field(default_factory=dict)
    words: tuple[Word, ...] = field(default=(), repr=False)


class Finding(Exception):
    """Why a step is not proved, and its word instead."""

    def __init__(self, word: Word, why: str) -> None:
        self.word, self.why = word, why
        super().__init__(why)
