"""How many tokens to ask for at once: what a question costs, and how often the drawn token is the likeliest one."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Pace"]

_LENGTHS = (1, 2, 4, 8, 16, 32)
_FORGET = 0.95  # the weight of the past at each observation


@dataclass
class Pace:
    """Learns from what happened; tells the length of the next draft.

    A question for k tokens takes ``trip + k * token`` seconds and is worth ``(1 - a**k) / (1 - a)`` tokens, where a is
    the probability that the local draw is what the server went on with.

    Args:
        fixed: the length if the user wants one, None to adapt.
        longest: no draft is longer.
    """

    fixed: int | None = None
    longest: int = 32
    acceptance: float = 0.7
    bets: int = 0
    hits: int = 0
    _weight: float = 0.0
    _k: float = 0.0
    _kk: float = 0.0
    _s: float = 0.0
    _ks: float = 0.0
    _streamed: float = 0.0
    _expected: float = 0.0

    def drawn(self, as_drafted: bool) -> None:
        """A token was drawn where the server had gone on with one."""
        self.bets += 1
        self.hits += as_drafted
        self.acceptance += 0.05 * (as_drafted - self.acceptance)

    def took(self, tokens: int, seconds: float) -> None:
        """A question for so many tokens was answered after so long."""
        self._weight = _FORGET * self._weight + 1
        self._k = _FORGET * self._k + tokens
        self._kk = _FORGET * self._kk + tokens * tokens
        self._s = _FORGET * self._s + seconds
        self._ks = _FORGET * self._ks + tokens * seconds

    def followed(self, tokens: int, seconds: float) -> None:
        """A stream was of use for so many tokens, from its start until it was left after so long."""
        if self.costs is not None and tokens:
            self._streamed = _FORGET * self._streamed + seconds
            self._expected = _FORGET * self._expected + self._stream(tokens, *self.costs)

    @property
    def costs(self) -> tuple[float, float] | None:
        """Seconds per trip and per token by least squares; None while all questions had one length."""
        if self._weight == 0:
            return None
        mean_k, mean_s = self._k / self._weight, self._s / self._weight
        spread = self._kk / self._weight - mean_k**2
        if spread < 0.05:
            return None
        slope = max((self._ks / self._weight - mean_k * mean_s) / spread, 0.0)
        return max(mean_s - slope * mean_k, 0.0), slope

    @property
    def length(self) -> int:
        """How many tokens the next question asks for."""
        if self.fixed is not None:
            return min(self.fixed, self.longest)
        costs = self.costs
        if costs is None:  # two lengths are needed to tell a trip from a token
            return min(4 if self._weight == 0 or self._k / self._weight < 3 else 2, self.longest)
        return min((k for k in _LENGTHS if k <= self.longest), key=lambda k: self._price(k, *costs))

    @property
    def streams(self) -> bool:
        """Whether a stream that is closed at the first other draw costs less.

        A server may be slow to notice that a stream was closed: what streams have cost so far, against what they should
        have, corrects the estimate.
        """
        costs = self.costs
        if costs is None:
            return False
        excess = self._streamed / self._expected if self._expected else 1.0
        worth = self.worth(64)
        return excess * self._stream(worth, *costs) / worth < self._price(self.length, *costs)

    def worth(self, k: int) -> float:
        """How many tokens a draft of k is expected to give."""
        a = min(max(self.acceptance, 0.0), 0.999)
        return float((1 - a**k) / (1 - a))

    @staticmethod
    def _stream(tokens: float, trip: float, token: float) -> float:
        return trip + tokens * token

    def _price(self, k: int, trip: float, token: float) -> float:
        return (trip + k * token) / self.worth(k)
