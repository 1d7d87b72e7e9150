"""Bets against a sampler: what each pays for one token, if the token was drawn from the stated law.

A bet is a non-negative number with a mean of exactly 1 under the law, whatever the law is. So the product of bets, one
a token, is a martingale: it exceeds 100 at any time with a probability of at most 1 in 100 (Ville's inequality), and an
average of such products does too. Two families:

* *tilts*: ``p(x)^-a / sum of p(v)^(1 - a)``, the likelihood ratio of the temperature ``1 / (1 - a)`` to the law;
* *cuts*: ``(1 - c)^[x outside a head] / (1 - c * mass outside)``, the likelihood ratio of a law that has lost the share
  c of what lies outside a head: a hidden truncation.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from decodekit.distribution import Distribution
from decodekit.types import Floats, Ids

__all__ = ["BETS", "LAST_TILT", "WEIGHTS", "Law", "Payment", "pay"]

_TILTS = tuple(sign * size for size in (0.03, 0.06, 0.12, 0.25, 0.5) for sign in (-1, 1))
_NUCLEI = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)
_TOPS = (1, 5, 10, 20, 40, 100)
_CUTS = (0.5, 1.0)

BETS = (
    *(f"temperature {1 / (1 - tilt):.3g}" for tilt in _TILTS),
    *(f"top-p {p:g}" if cut == 1 else f"half the tail of top-p {p:g}" for p in _NUCLEI for cut in _CUTS),
    *(f"top-k {k}" if cut == 1 else f"half the tail of top-k {k}" for k in _TOPS for cut in _CUTS),
    *("only the list shown" if cut == 1 else "half of what the list does not show" for cut in _CUTS),
)
"""What each bet is on: the law that it would win most against."""
LAST_TILT = len(_TILTS)
"""The tilts are the bets before this index, the cuts the others."""
_CUT_BETS = len(BETS) - LAST_TILT
WEIGHTS = np.repeat([0.5 / LAST_TILT, 0.5 / _CUT_BETS], [LAST_TILT, _CUT_BETS])
"""The share of the stake on each bet; a half is on the tilts."""

_LEAST_OUTSIDE = 1e-6  # what lies outside a list is one minus a sum of rounded numbers


class Law(NamedTuple):
    """A law, as far as it is shown: its tokens, and the others as one symbol. A coarser view of a draw is a draw too.

    Args:
        token_ids: int64[n], by falling probability.
        logprobs: float64[n] in nats, finite.
        outside: the probability of all other tokens together; 0 where there are none.
    """

    token_ids: Ids
    logprobs: Floats
    outside: float

    @classmethod
    def of(cls, dist: Distribution) -> Law:
        """That of a distribution; of a head, its tokens and the rest as one symbol.

        Raises:
            Undisclosed: a head whose log-probabilities are not known.
        """
        if dist.hidden is None:
            ids = dist.order
            return cls(ids, dist.logprobs_of(ids), 0.0)
        kept = dist.logprobs > -math.inf
        assert dist.token_ids is not None
        return cls.listed(dist.token_ids[kept], dist.logprobs[kept], complete=False)

    @classmethod
    def listed(cls, token_ids: Ids, logprobs: Floats, *, complete: bool) -> Law:
        """Of listed tokens, by falling probability; not complete: other tokens have the rest."""
        outside = 0.0 if complete else max(1.0 - float(np.exp(logprobs).sum()), _LEAST_OUTSIDE)
        return cls(token_ids, logprobs, outside)

    def without(self, ids: Collection[int]) -> Law:
        """The law given that none of these tokens comes. Itself where nothing else is left."""
        gone = np.isin(self.token_ids, np.fromiter(ids, np.int64, len(ids)))
        left = 1.0 - float(np.exp(self.logprobs[gone]).sum())
        if not gone.any() or left <= 0:
            return self
        return Law(self.token_ids[~gone], self.logprobs[~gone] - math.log(left), self.outside / left)

    def place(self, token_id: int) -> int:
        """Where a token is among the symbols; len(token_ids) for the symbol of all others."""
        found = np.flatnonzero(self.token_ids == token_id)
        return int(found[0]) if len(found) else len(self.token_ids)


@dataclass(frozen=True, slots=True)
class Payment:
    """What the bets pay on one law.

    Args:
        log_bets: float64[places, bets]: the logarithm of each bet at each place asked for; -inf: all is lost.
        growth: float64[bets]: the mean of each, in nats a token, if the law drawn from is the one that it is on.
        surprisal: float64[places], in nats, of the symbol.
        entropy, varentropy: of the symbols, in nats and nats squared.
    """

    log_bets: Floats
    growth: Floats
    surprisal: Floats
    entropy: float
    varentropy: float


def pay(law: Law, places: NDArray[np.int64]) -> Payment:
    """What each bet pays for a draw from this law.

    Args:
        law: the law.
        places: int64[m], symbols as `Law.place` gives them. A token that the law excludes, place n with nothing
            outside, has a surprisal of inf and is evidence enough: it pays inf.
    """
    logprobs = law.logprobs
    if law.outside > 0:
        logprobs = np.append(logprobs, math.log(law.outside))
    logprobs = logprobs - np.logaddexp.reduce(logprobs)
    impossible = places >= len(logprobs)
    at = np.where(impossible, 0, places)
    p = np.exp(logprobs)
    entropy = -float(p @ logprobs)
    tilts, tilt_growth = _tilts(logprobs, at)
    cuts, cut_growth = _cuts(p, at, law.outside > 0)
    bets = np.concatenate([tilts, cuts], axis=1)
    bets[impossible] = math.inf
    surprisal = np.where(impossible, math.inf, -logprobs[at])
    return Payment(bets, np.concatenate([tilt_growth, cut_growth]), surprisal, entropy,
                   max(0.0, float(p @ logprobs**2) - entropy**2))  # fmt: skip


def _tilts(logprobs: Floats, at: NDArray[np.int64]) -> tuple[Floats, Floats]:
    bets, growth = np.empty((len(at), len(_TILTS))), np.empty(len(_TILTS))
    for i, tilt in enumerate(_TILTS):
        weights = np.exp((1 - tilt) * logprobs)
        total = float(weights.sum())
        bets[:, i] = -tilt * logprobs[at] - math.log(total)
        growth[i] = -tilt * float(weights @ logprobs) / total - math.log(total)
    return bets, growth


def _cuts(p: Floats, at: NDArray[np.int64], has_outside: bool) -> tuple[Floats, Floats]:
    """A head that goes beyond the list cannot be told from others, so there is no bet on it."""
    listed = len(p) - has_outside
    reached = np.cumsum(p[:listed])
    heads = [int(np.searchsorted(reached, share)) + 1 for share in _NUCLEI]
    heads += [*_TOPS, listed if has_outside else listed + 1]
    bets, growth = np.zeros((len(at), len(heads) * len(_CUTS))), np.zeros(len(heads) * len(_CUTS))
    for i, head in enumerate(heads):
        beyond = float(p[head:].sum()) if head <= listed else 0.0
        if not 0 < beyond < 1:
            continue
        outside = at >= head
        for j, cut in enumerate(_CUTS):
            left, lost = math.log1p(-cut * beyond), math.log1p(-cut) if cut < 1 else -math.inf
            kept = beyond * (1 - cut) / (1 - cut * beyond)
            bets[:, i * len(_CUTS) + j] = np.where(outside, lost, 0.0) - left
            growth[i * len(_CUTS) + j] = (kept * lost if kept else 0.0) - left
    return bets, growth
