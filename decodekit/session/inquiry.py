"""How one distribution is asked for again where its answer disclosed too little: in one place for all who ask."""

from __future__ import annotations

from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import ALL, Disclosure, Undisclosed
from decodekit.text.counted import counted

__all__ = ["Inquiry", "not_enough"]

_MOST_QUESTIONS = 6  # for one distribution; the last one asks for everything


class Inquiry:
    """The questions for one distribution.

    Attributes:
        questions: how many were answered.
    """

    __slots__ = ("_shown", "questions")

    def __init__(self) -> None:
        self.questions = 0
        self._shown: int | None = None  # how many tokens the last answer disclosed

    def next_need(self, need: Disclosure) -> Disclosure:
        """What the next question asks for, where ``need`` would be enough."""
        return need if self.questions < _MOST_QUESTIONS - 1 else ALL

    def is_final(self, answer: Distribution) -> bool:
        """Count an answer. Returns whether asking again is in vain."""
        shown = 0 if answer.hidden is None else len(answer.row)
        self.questions += 1
        final = answer.hidden is None or shown == self._shown or self.questions == _MOST_QUESTIONS
        self._shown = shown
        return final


def not_enough(error: Undisclosed, answer: Distribution, instead: str) -> Undisclosed:
    """The error when nothing more can be asked for: what was shown, and why not more, if the adapter gives a reason.

    An adapter gives the reason in the schedule of its answer, as ``shows_less``.

    Args:
        error: what was needed.
        answer: the last answer.
        instead: what the caller can do.
    """
    why = (answer.schedule or {}).get("shows_less", "")
    shown = counted(len(answer.scores), "token") if answer.token_ids is not None else "all it has"
    final = Undisclosed(error.need, error.question)
    cause = why or f"it needs {error.need}, which was requested, and the adapter showed {shown}"
    final.args = (f"{error.question} cannot be answered: {cause}. {instead}",)
    return final
