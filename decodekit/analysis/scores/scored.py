"""How likely a given text is, token by token: the result of `decodekit.analysis.score`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from decodekit.distribution.disclosure import ALL, Interval, Undisclosed
from decodekit.errors import ParameterError
from decodekit.session.score import Tokenised
from decodekit.types import Floats

__all__ = ["Bounded", "TextScore", "Total"]

Total = Literal["total", "per_token", "perplexity", "bits_per_byte"]


@dataclass(frozen=True, slots=True, eq=False)
class Bounded:
    """Values of one kind, known exactly or within bounds.

    Args:
        low, high: float64 of one shape; equal where the value is known.
        what: its name, for errors.
    """

    low: Floats
    high: Floats
    what: str

    @property
    def known(self) -> bool:
        """Whether every value is exact."""
        return bool(np.array_equal(self.low, self.high))

    @property
    def values(self) -> Floats:
        """The exact values, float64.

        Raises:
            Undisclosed: one of them is known within bounds only.
        """
        unknown = np.argwhere(self.low != self.high)
        if len(unknown):
            at = tuple(unknown[0].tolist())
            place = f"number {', '.join(map(str, at))}"
            error = Undisclosed(ALL, self.what)
            why = "the adapter discloses part of each distribution; bounds(...), or low and high, are certain"
            ends = f"from {self.low[at]:.6g} to {self.high[at]:.6g}"
            error.args = (f"{self.what} {place} is not known, only that it lies {ends}: {why}",)
            raise error
        return self.low


@dataclass(frozen=True, slots=True, eq=False)
class TextScore:
    """What the model says of each token of a text, given what comes before it. Log-probabilities are in nats.

    Where an adapter discloses a part of each distribution, values are bounded and not guessed: the exact properties
    raise `Undisclosed`, and `bounds` has intervals that certainly contain the values.

    Args:
        token_ids: the n tokens that are scored.
        given: how many tokens stand before them; they are not scored.
        tokenised: where the ids come from, as in `decodekit.Score`.
        size: the number of UTF-8 bytes of the text; None where no tokenizer knows it.
        logprob: of each token.
        rank: how many tokens were more likely.
        entropy: of each distribution, in nats.
        gap: surprisal minus entropy. Its mean is 0 for a text that was drawn from the model itself.
    """

    token_ids: tuple[int, ...]
    given: int
    tokenised: Tokenised
    size: int | None
    logprob: Bounded
    rank: Bounded
    entropy: Bounded
    gap: Bounded

    @property
    def logprobs(self) -> Floats:
        """float64[n] in nats; -inf for a token without probability."""
        return self.logprob.values

    @property
    def ranks(self) -> Floats:
        """float64[n], whole numbers: 0 for the most likely token."""
        return self.rank.values

    @property
    def entropies(self) -> Floats:
        """float64[n] in nats."""
        return self.entropy.values

    @property
    def gaps(self) -> Floats:
        """float64[n] in nats, the surprisal of each token minus the entropy of its distribution."""
        return self.gap.values

    @property
    def total(self) -> float:
        """The log-probability of the text, in nats."""
        return _total(self.logprobs)

    @property
    def per_token(self) -> float:
        """The mean log-probability of a token, in nats."""
        return self.total / len(self.token_ids)

    @property
    def perplexity(self) -> float:
        """``exp(-per_token)``; inf for a text without probability."""
        return _exp(-self.per_token)

    @property
    def bits_per_byte(self) -> float:
        """Minus the log-probability in bits, for each byte of the text; comparable between tokenizers.

        Raises:
            ParameterError: the text has no bytes, or no tokenizer knows them.
        """
        return self._of(self.total, "bits_per_byte")

    def bounds(self, name: Total) -> Interval:
        """An interval that certainly contains the value of this name; a point where all tokens are disclosed.

        Raises:
            ParameterError: there is no such name; or as `bits_per_byte`.
        """
        low, high = _total(self.logprob.low), _total(self.logprob.high)
        ends = [self._of(low, name), self._of(high, name)]
        return Interval(min(ends), max(ends))

    def _of(self, total: float, name: str) -> float:
        kinds: dict[str, Callable[[], float]] = {
            "total": lambda: total,
            "per_token": lambda: total / len(self.token_ids),
            "perplexity": lambda: _exp(-total / len(self.token_ids)),
            "bits_per_byte": lambda: -total / math.log(2) / self._bytes(),
        }
        if name not in kinds:
            raise ParameterError(f"bounds({name!r}): the names are {', '.join(kinds)}")
        return kinds[name]()

    def _bytes(self) -> int:
        if not self.size:
            raise ParameterError("bits_per_byte: the text has no bytes, or there is no tokenizer to know them")
        return self.size


def _total(logprobs: Floats) -> float:
    return math.fsum(logprobs) if float(logprobs.min()) > -math.inf else -math.inf


def _exp(value: float) -> float:
    return math.exp(value) if value < 709 else math.inf
