"""What a verification comes to: a word for each step, and one for the whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["STRENGTH", "Finding", "Verdict", "Word"]

Word = Literal["reproduced", "proved", "ambiguous", "consistent", "incomplete", "failed"]
STRENGTH: tuple[Word, ...] = ("failed", "incomplete", "consistent", "ambiguous", "proved", "reproduced")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a trace proves; as strong as its weakest step.

    Args:
        word: 'reproduced' (the final scores follow from the raw rows through the recorded processors, and the choices
            from them), 'proved' (the choices follow from the recorded final scores and the seed), 'ambiguous' (some
            margin is under 1e-9), 'consistent' (nothing contradicts, something is missing), 'incomplete' (the run has
            no end), 'failed'.
        step: the first step of that word, when it is worse than 'proved'; None otherwise.
        why: the reason, in a sentence.
        counts: how many steps earned which word.
        words: the word of each step, in the order of the trace.
    """

    word: Word
    step: int | None
    why: str
    counts: dict[Word, int] = field(default_factory=dict)
    words: tuple[Word, ...] = field(default=(), repr=False)


class Finding(Exception):
    """Why a step is not proved, and the word it earns instead."""

    def __init__(self, word: Word, why: str) -> None:
        self.word, self.why = word, why
        super().__init__(why)
