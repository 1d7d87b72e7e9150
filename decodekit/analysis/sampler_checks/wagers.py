"""Is a sampler honest? Evidence that tokens were, or were not, drawn from the laws that are stated for them.

The evidence is an e-value: what a stake of 1 has become that was spread over the bets of the module `bets`. If the
sampler is honest it reaches 100 at any time, at any length and after any look, with a probability of at most 1 in
100. So a test may stop whenever it likes, and sequences with noise of their own multiply. For tokens that decodekit
drew itself a trace proves more; this is for a server's own draws, and for texts that are said to be a model's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from decodekit.analysis.sampler_checks.bets import BETS, LAST_TILT, WEIGHTS, Law, pay
from decodekit.distribution import Distribution
from decodekit.draw.whole import whole
from decodekit.errors import ParameterError, brief
from decodekit.types import Floats

__all__ = ["LEVEL", "Honesty", "Wager", "honesty"]

LEVEL = 100.0
"""An e-value that a sampler is called dishonest at: an honest one reaches it with a probability of at most 1 in 100."""

_LOG_WEIGHTS = np.log(WEIGHTS)


@dataclass(frozen=True, slots=True)
class Honesty:
    """What the tokens say of the sampler.

    Args:
        tokens: how many were tested.
        log_e: the logarithm of the evidence against honesty now, in nats; inf where a token was impossible.
        log_tilts, log_cuts: the same of each family alone: of temperatures, of hidden truncations.
        highest: the largest ``log_e`` at any time: what the verdict is about.
        crossed: after how many tokens it first reached 100; None if never.
        path: float64[tokens], ``log_e`` after each token.
        leaning: the bet that has won most, in words; '' where none has won.
        drift: the mean of surprisal minus entropy, in nats a token: 0 if honest. Where a law is a list, it is of the
            tokens in it, given that one of them comes.
        drift_error: its standard error if honest, from the varentropies.
        needed: how many tokens it takes on average, on laws like these, until the evidence is 100, for the sampler that
            each name describes; at most so many where laws are lists, and inf where they cannot tell.
        skipped: tokens without a stated law, or that say nothing new: see `recorded_draws`.
    """

    tokens: int
    log_e: float
    log_tilts: float
    log_cuts: float
    highest: float
    crossed: int | None
    path: Floats
    leaning: str
    drift: float
    drift_error: float
    needed: dict[str, float]
    skipped: int = 0

    @property
    def honest(self) -> bool:
        """Whether the evidence has stayed below 100. It is no proof of honesty: see `needed`."""
        return self.crossed is None

    @property
    def z(self) -> float:
        """The drift in standard errors; NaN where nothing was uncertain."""
        return self.drift / self.drift_error if self.drift_error > 0 else math.nan

    def with_skipped(self, skipped: int) -> Honesty:
        """The same, with a number of tokens for which no law is stated."""
        return replace(self, skipped=skipped)

    def to_dict(self) -> dict[str, Any]:
        """As JSON types, without the path; infinities and NaN as texts."""
        plain = {"tokens": self.tokens, "skipped": self.skipped, "honest": self.honest, "log_e": self.log_e,
                 "log_tilts": self.log_tilts, "log_cuts": self.log_cuts, "highest": self.highest,
                 "crossed": self.crossed, "leaning": self.leaning, "drift": self.drift,
                 "drift_error": self.drift_error, "needed": self.needed}  # fmt: skip
        return {name: _plain(value) for name, value in plain.items()}


class Wager:
    """A stake against a sampler, token by token; for a test that stops as soon as it knows."""

    def __init__(self) -> None:
        self._bets = np.zeros(len(BETS))
        self._growth = np.zeros(len(BETS))
        self._path: list[float] = []
        self._drift = self._variance = 0.0
        self._listed = 0  # tokens of the drift
        self.highest = 0.0
        self.skipped = 0

    def __len__(self) -> int:
        return len(self._path)

    @property
    def decided(self) -> bool:
        """Whether the evidence has reached 100."""
        return self.highest >= math.log(LEVEL)

    def take(self, law: Law | Distribution, token_id: int) -> float:
        """Bet on one token: returns the evidence after it, in nats.

        Args:
            law: what it is said to be drawn from; a head has its undisclosed tokens as one symbol.
            token_id: the token.

        Raises:
            ParameterError: the law is none, or the token is no token id.
            Undisclosed: a head whose log-probabilities are not known.
        """
        law, size = _known(law)
        paid = pay(law, np.array([law.place(whole(token_id, "token_id", 0, size - 1))]))
        if math.isinf(paid.surprisal[0]):
            self._bets[:] = math.inf  # for good, whatever was lost before
        elif self._bets.max() < math.inf:
            self._bets += paid.log_bets[0]
        self._growth += paid.growth
        if not math.isnan(paid.surprisal[0]):
            self._listed += 1
            self._drift += float(paid.surprisal[0]) - paid.entropy
            self._variance += paid.varentropy
        now = float(np.logaddexp.reduce(self._bets + _LOG_WEIGHTS))
        self._path.append(now)
        self.highest = max(self.highest, now)
        return now

    def result(self) -> Honesty:
        """What is known now."""
        tokens, path = len(self._path), np.array(self._path)
        reached = np.flatnonzero(path >= math.log(LEVEL))
        best = int(self._bets.argmax())
        growth = self._growth / max(tokens, 1)
        with np.errstate(divide="ignore"):
            needed = np.where(growth > 0, (math.log(LEVEL) - _LOG_WEIGHTS) / growth, math.inf)
        return Honesty(
            tokens=tokens,
            log_e=float(path[-1]) if tokens else 0.0,
            log_tilts=_mixed(self._bets[:LAST_TILT]),
            log_cuts=_mixed(self._bets[LAST_TILT:]),
            highest=self.highest,
            crossed=int(reached[0]) + 1 if len(reached) else None,
            path=path,
            leaning=BETS[best] if self._bets[best] > 0 else "",
            drift=self._drift / max(self._listed, 1),
            drift_error=math.sqrt(self._variance) / max(self._listed, 1),
            needed={name: float(n) for name, n in zip(BETS, needed, strict=True)},
            skipped=self.skipped,
        )


def honesty(draws: Iterable[tuple[Law | Distribution, int]]) -> Honesty:
    """Test whether each token was drawn from its law. See `decodekit.analysis.recorded_draws` for those of traces.

    Args:
        draws: a law and a token each. A law may depend on all tokens before it, never on its own one: a list that shows
            the drawn token because it was drawn is not a law.

    Raises:
        ParameterError, Undisclosed: as `Wager.take`.
    """
    wager = Wager()
    for law, token_id in draws:
        wager.take(law, token_id)
    return wager.result()


def _known(law: Law | Distribution) -> tuple[Law, int]:
    """A law, and the size of its vocabulary as far as it is known."""
    if isinstance(law, Law):
        return law, 2**63
    if not isinstance(law, Distribution):
        raise ParameterError(f"a law is a Distribution, not {brief(law)}; Distribution.dense(scores) makes one")
    return Law.of(law), 2**63 if law.vocab_size is None else law.vocab_size


def _mixed(log_bets: Floats) -> float:
    return float(np.logaddexp.reduce(log_bets)) - math.log(len(log_bets))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
