"""How many tokens to guess: by how often guesses were right, and by what a guessed token costs.

A call of ``predict`` with k guessed tokens takes ``1 + k * share`` times as long as without. If each guessed token is
right with probability p, the call decides ``1 + p + ... + p ** k`` tokens. So one more token is guessed while the
chance that it counts, ``p ** (k + 1)``, is larger than ``share`` times the gain so far. Where even one token is not
worth it, nothing is guessed, except for rare trials of one token.
"""

from __future__ import annotations

__all__ = ["MOST_GUESSED", "GuessLength", "RowCost"]

MOST_GUESSED = 16
"""The most tokens of one guess."""

_ASSUMED = 0.5  # the share of a model in this process; on a GPU it is less
_MARGIN = 1.1  # how much more than its cost a guessed token must be worth
_FIRST = 4  # steps before the first guess: their times are what others are compared with
_PAUSE, _LONGEST_PAUSE = 32, 128  # steps without a guess before a trial; each failed trial doubles the pause
_MEMORY = 0.95  # the weight of what was seen one guessed token earlier
_WORTH_ASKING = 0.01  # of a call of ``predict``: the time a guesser may take to say that it has no guess


class RowCost:
    """What a guessed token costs, as a share of what a sequence costs in a call of ``predict`` without guesses.

    Args:
        measured: whether to measure it. Otherwise one half is assumed, and the lengths of guesses follow from counts
            alone: then equal runs ask equal questions.
    """

    def __init__(self, *, measured: bool) -> None:
        self.share = _ASSUMED
        self._measured = measured
        self._plain: dict[int, float] = {}  # seconds of a call without guesses, by the number of sequences

    def seen(self, seconds: float, sequences: int, guessed: int) -> None:
        """One call of ``predict``.

        Args:
            seconds: how long it took, with the guesser's own time.
            sequences: how many it had.
            guessed: how many tokens were guessed in all.
        """
        if not self._measured:
            return
        plain = self._plain.get(sequences)
        if not guessed:
            self._plain[sequences] = seconds if plain is None else 0.8 * plain + 0.2 * seconds
        elif plain:
            share = (seconds - plain) * sequences / (guessed * plain)
            self.share = 0.8 * self.share + 0.2 * min(max(share, 0.02), 2.0)

    def too_long(self, seconds: float, sequences: int) -> bool:
        """Whether a guesser took too long for having no guess."""
        plain = self._plain.get(sequences)
        return plain is not None and seconds > _WORTH_ASKING * plain


class GuessLength:
    """The length of the next guess of one sequence."""

    def __init__(self) -> None:
        self._right, self._seen = 1.6, 2.0  # to begin with: four of five are right
        self._wait = _FIRST
        self._pause = _PAUSE

    def next(self, share: float) -> int:
        """How many tokens to guess now; 0 for none. To be called once for each step.

        Args:
            share: what a guessed token costs; see `RowCost`.
        """
        if self._wait:
            self._wait -= 1
            return 0
        return max(1, _best(self._right / self._seen, share))

    def learn(self, known: int, right: int, share: float) -> None:
        """What became of a guess.

        Args:
            known: of how many guessed tokens it is known whether they were right.
            right: how many were.
            share: what a guessed token costs.
        """
        for i in range(known):
            self._right = _MEMORY * self._right + (i < right)
            self._seen = _MEMORY * self._seen + 1
        if known == right:
            self._pause = _PAUSE
        elif _best(self._right / self._seen, share) == 0:
            self.rest()

    def rest(self) -> None:
        """Guess nothing for a while; twice as long each time until a guess is right."""
        self._wait = self._pause
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)


def _best(rate: float, share: float) -> int:
    """How many tokens are worth guessing if each is right at this rate."""
    length, decided, chance = 0, 1.0, rate
    while length < MOST_GUESSED and chance > _MARGIN * share * decided / (1 + length * share):
        length, decided = length + 1, decided + chance
        chance *= rate
    return length
