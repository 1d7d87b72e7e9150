"""How many tokens to ask for in one request, from what requests cost and how often drafts are accepted."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DraftLength"]

_LENGTHS = (1, 2, 4, 8, 16, 32)
_FORGET = 0.95  # the weight of the past at each observation
_RATE = 0.05  # the weight of one token in the moving acceptance rate


@dataclass
class DraftLength:
    """Learns from the requests and draws so far; gives the length of the next draft.

    A request for k tokens takes ``round_trip + k * token`` seconds and gives ``(1 - a**k) / (1 - a)`` tokens on
    average, where a is the acceptance rate: the probability that the token drawn here is the one that the server
    drafted (Leviathan et al. 2023, eq. 1).

    Args:
        fixed: the length if the user sets one, None to adapt.
        longest: no draft is longer.
        acceptance: the acceptance rate to begin with.
        drafted: draws so far for which there was a drafted token.
        accepted: those of these draws that agreed with it.
    """

    fixed: int | None = None
    longest: int = 32
    acceptance: float = 0.7
    drafted: int = 0
    accepted: int = 0
    _weight: float = 0.0
    _k: float = 0.0
    _kk: float = 0.0
    _s: float = 0.0
    _ks: float = 0.0
    _streamed: float = 0.0
    _expected: float = 0.0

    def observe_draw(self, accepted: bool) -> None:
        """A token was drawn where the server had drafted one."""
        self.drafted += 1
        self.accepted += accepted
        self.acceptance += _RATE * (accepted - self.acceptance)

    def observe_request(self, tokens: int, seconds: float) -> None:
        """A request for ``tokens`` tokens was answered after ``seconds``."""
        self._weight = _FORGET * self._weight + 1
        self._k = _FORGET * self._k + tokens
        self._kk = _FORGET * self._kk + tokens * tokens
        self._s = _FORGET * self._s + seconds
        self._ks = _FORGET * self._ks + tokens * seconds

    def observe_stream(self, tokens: int, seconds: float) -> None:
        """``tokens`` tokens of a stream were accepted until it was closed, ``seconds`` after its start."""
        if self.costs is not None and tokens:
            self._streamed = _FORGET * self._streamed + seconds
            self._expected = _FORGET * self._expected + _stream_seconds(tokens, *self.costs)

    @property
    def costs(self) -> tuple[float, float] | None:
        """Seconds per round trip and per token by least squares; None while all requests had one length."""
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
        """How many tokens the next request asks for."""
        if self.fixed is not None:
            return min(self.fixed, self.longest)
        costs = self.costs
        if costs is None:  # two lengths are needed to separate the round trip from the time per token
            return min(4 if self._weight == 0 or self._k / self._weight < 3 else 2, self.longest)
        return min((k for k in _LENGTHS if k <= self.longest), key=lambda k: self._seconds_per_token(k, *costs))

    @property
    def stream_is_faster(self) -> bool:
        """Whether a stream that is closed at the first rejected token takes less time per token.

        A server may be slow to notice that a stream was closed: the ratio of measured to expected stream times corrects
        the estimate.
        """
        costs = self.costs
        if costs is None:
            return False
        excess = self._streamed / self._expected if self._expected else 1.0
        tokens = self.expected_tokens(64)
        return excess * _stream_seconds(tokens, *costs) / tokens < self._seconds_per_token(self.length, *costs)

    def expected_tokens(self, k: int) -> float:
        """How many tokens a draft of length k gives on average."""
        a = min(max(self.acceptance, 0.0), 0.999)
        return float((1 - a**k) / (1 - a))

    def _seconds_per_token(self, k: int, round_trip: float, token: float) -> float:
        return (round_trip + k * token) / self.expected_tokens(k)


def _stream_seconds(tokens: float, round_trip: float, token: float) -> float:
    return round_trip + tokens * token
