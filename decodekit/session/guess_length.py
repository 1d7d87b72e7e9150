"""How many tokens to guess: by how often guesses were right, and by what they cost.

A call of ``predict`` with k guessed tokens takes ``1 + fixed + k * share`` times as long as one without. If each
guessed token is right with probability p, the call decides ``1 + p + ... + p ** k`` tokens. The k with the most tokens
per time is taken. Where even the best k gains too little, nothing is guessed, except for rare trials.

A trial has one token; as long as trials are right they get longer, because a call may cost much for the first guessed
token and little for the others. Each sequence keeps an account, in tokens: a guess costs ``fixed + k * share`` and
earns what was right of it. It starts with a little, each step adds 0.01, and a guess whose expected loss is more than
the account has is not made. So in the long run guesses lose no more than that.
"""

from __future__ import annotations

from collections import deque
from statistics import median

__all__ = ["MOST_GUESSED", "GuessCost", "GuessLength"]

MOST_GUESSED = 16
"""The most tokens of one guess."""

_ASSUMED = 0.5  # the cost of a guessed token of a model in this process; on a GPU it is less
_GAIN = 1.05  # what a guess must gain at least
_FIRST = 4  # steps before the first guess: their times are what others are compared with
_CREDIT, _STEP, _MOST_CREDIT = 0.5, 0.01, 16.0  # of the account: at the start, for each step, at most
_PAUSE, _LONGEST_PAUSE = 16, 128  # steps without a guess before a trial; each failed trial doubles the pause
_LONGEST_TRIAL = 8
_MEMORY = 0.95  # the weight of what was seen one call, or one guessed token, earlier
_OUTLIER = 2.0  # a measurement counts as at most this many times the expected cost: another process may have run
_WORTH_ASKING = 0.01  # of a call of ``predict``: the time a guesser may take to say that it has no guess
_PRIOR = ((1.0, _ASSUMED), (8.0, 8 * _ASSUMED))  # (tokens, cost), each counted as a third of a measurement


class GuessCost:
    """What guesses cost, as a share of a call of ``predict`` without them.

    Args:
        measured: whether to measure it. Otherwise one half of a call for each token is assumed, and the lengths of
            guesses follow from counts alone: then equal runs ask equal questions.
    """

    def __init__(self, *, measured: bool) -> None:
        self._measured = measured
        self._plain: dict[int, deque[float]] = {}  # seconds of calls without guesses, by the number of sequences
        self._sums = [0.0] * 5  # of weights, tokens, costs, and of tokens * tokens and tokens * costs
        self.fixed, self.share = 0.0, _ASSUMED

    def seen(self, seconds: float, sequences: int, guessed: int) -> None:
        """One call of ``predict``.

        Args:
            seconds: how long it took, with the guesser's own time.
            sequences: how many it had.
            guessed: how many tokens were guessed in all.
        """
        if not self._measured:
            return
        if not guessed:
            self._plain.setdefault(sequences, deque(maxlen=9)).append(seconds)
        elif plain := self._usual(sequences):
            tokens = guessed / sequences
            most = _OUTLIER * (self.fixed + self.share * (tokens + 1))
            self._fit(tokens, min(max(seconds / plain - 1, 0.0), most))

    def too_long(self, seconds: float, sequences: int) -> bool:
        """Whether a guesser took too long for having no guess."""
        plain = self._usual(sequences)
        return plain is not None and seconds > _WORTH_ASKING * plain

    def of(self, length: int) -> float:
        """The cost of a guess of this length."""
        return self.fixed + self.share * length if length else 0.0

    def best(self, rate: float) -> int:
        """The most profitable length of a guess whose tokens are right at this rate; 0 where none pays."""
        best, gain = 0, _GAIN
        decided = chance = 1.0
        for length in range(1, MOST_GUESSED + 1):
            chance *= rate
            decided += chance
            ratio = decided / (1 + self.of(length))
            if ratio > gain:
                best, gain = length, ratio
        return best

    def _usual(self, sequences: int) -> float | None:
        plain = self._plain.get(sequences)
        return median(plain) if plain else None

    def _fit(self, tokens: float, cost: float) -> None:
        """Take one measurement in, by least squares; older ones count less."""
        new = (1.0, tokens, cost, tokens * tokens, tokens * cost)
        self._sums = [_MEMORY * old + each for old, each in zip(self._sums, new, strict=True)]
        n, x, y, xx, xy = (
            old + sum(each) / 3
            for old, each in zip(
                self._sums, zip(*((1.0, k, c, k * k, k * c) for k, c in _PRIOR), strict=True), strict=True
            )
        )
        share = (n * xy - x * y) / (n * xx - x * x)
        fixed = (y - share * x) / n
        if fixed < 0:
            fixed, share = 0.0, xy / xx
        self.fixed, self.share = fixed, max(share, 0.01)


class GuessLength:
    """The length of the next guess of one sequence."""

    def __init__(self) -> None:
        self._right, self._seen = 1.4, 2.0  # to begin with: seven of ten are right
        self._wait = _FIRST
        self._pause = _PAUSE
        self._account = _CREDIT
        self._trial = 1

    def next(self, cost: GuessCost) -> int:
        """How many tokens to guess now; 0 for none. To be called once for each step."""
        self._account = min(self._account + _STEP, _MOST_CREDIT)
        if self._wait:
            self._wait -= 1
            return 0
        rate = self._right / self._seen
        length = cost.best(rate) or self._trial
        while length and cost.of(length) - sum(rate**i for i in range(1, length + 1)) > self._account:
            length -= 1
        return length

    def learn(self, guessed: int, known: int, right: int, cost: GuessCost) -> None:
        """What became of a guess.

        Args:
            guessed: how many tokens it had.
            known: of how many guessed tokens it is known whether they were right.
            right: how many were.
            cost: what guesses cost.
        """
        self._account += right - cost.of(guessed)
        for i in range(known):
            self._right = _MEMORY * self._right + (i < right)
            self._seen = _MEMORY * self._seen + 1
        self._trial = 1
        if cost.best(self._right / self._seen):
            self._pause = _PAUSE
        elif known > right or guessed >= _LONGEST_TRIAL:  # wrong, or right and still too dear
            self.rest()
        else:
            self._trial = min(2 * guessed, _LONGEST_TRIAL)

    def rest(self) -> None:
        """Guess nothing for a while, and twice as long the next time, until a guess pays."""
        self._wait = self._pause
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
