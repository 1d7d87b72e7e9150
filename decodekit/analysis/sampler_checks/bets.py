"""Bets against a sampler: what each pays for one token, if the token was drawn from the stated law.

A bet is a non-negative number with a mean of exactly 1 under the law, whatever the law is. So the product of bets, one
a token, is a martingale: it exceeds 100 at any time with a probability of at most 1 in 100 (Ville's inequality), and an
average of such products does too. Two families:

* *tilts*: ``p(x)^-a / sum of p(v)^(1 - a)``, the likelihood ratio of the temperature ``1 / (1 - a)`` to the law. Where
  a list is known and not the rest, p is the law given that a token of the list comes; another token pays 1, because
  what a temperature does to the sum of many unknown probabilities is not known;
* *cuts*: ``(1 - c)^[x outside a head] / (1 - c * mass outside)``, the likelihood ratio of a law that has lost the share
  c of what lies outside a head: a hidden truncation. With a negative c it has more there.
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

__all__ = ["BETS", "LAST_TILT", "WEIGHTS", "Law", "Payment", "least_listed", "pay"]

_TILTS = tuple(sign * size for size in (0.03, 0.06, 0.12, 0.25, 0.5) for sign in (-1, 1))
_NUCLEI = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)
_TOPS = (1, 5, 10, 20, 40, 100)
_CUTS = (0.5, 1.0)
_LIST_CUTS = (*_CUTS, -1.0, -3.0)

BETS = (
    *(f"temperature {1 / (1 - tilt):.3g}" for tilt in _TILTS),
    *(f"top-p {p:g}" if cut == 1 else f"half the tail of top-p {p:g}" for p in _NUCLEI for cut in _CUTS),
    *(f"top-k {k}" if cut == 1 else f"half the tail of top-k {k}" for k in _TOPS for cut in _CUTS),
    "half of what the list does not show",
    "only the list shown",
    "twice what the list does not show",
    "four times what the list does not show",
)
"""What each bet is on: the law that it would win most against."""
LAST_TILT = len(_TILTS)
"""The tilts are the bets before this index, the cuts the others."""
_CUT_BETS = len(BETS) - LAST_TILT
WEIGHTS = np.repeat([0.5 / LAST_TILT, 0.5 / _CUT_BETS], [LAST_TILT, _CUT_BETS])
"""The share of the stake on each bet; a half is on the tilts."""

MOST_OTHERS = 2**18
"""More tokens than the vocabularies in use have."""
_LEAST_OUTSIDE = 1e-6  # what lies outside a list is one minus a sum of rounded numbers


class Law(NamedTuple):
    """A law, as far as it is shown: its tokens, and the others as one symbol. A coarser view of a draw is a draw too.

    Args:
        token_ids: int64[n], by falling probability.
        logprobs: float64[n] in nats, finite.
        outside: the probability of all other tokens together; 0 where there are none.
        others: how many those are, at most.
        absent: how much of ``outside`` may be of tokens that cannot come, at most: ends that a server does not return.
    """

    token_ids: Ids
    logprobs: Floats
    outside: float
    others: int = MOST_OTHERS
    absent: float = 0.0

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
        law = cls.listed(dist.token_ids[kept], dist.logprobs[kept], complete=False)
        return law if dist.vocab_size is None else law._replace(others=dist.vocab_size - len(law.token_ids))

    @classmethod
    def listed(cls, token_ids: Ids, logprobs: Floats, *, complete: bool) -> Law:
        """Of listed tokens, by falling probability; not complete: other tokens have the rest."""
        outside = 0.0 if complete else max(1.0 - float(np.exp(logprobs).sum()), _LEAST_OUTSIDE)
        return cls(token_ids, logprobs, outside)

    def without(self, ids: Collection[int]) -> Law:
        """The law given that none of these tokens comes. Itself where nothing else is left.

        The list is taken for the most likely tokens. What it does not show is counted as `absent`, as far as it may be.
        """
        gone = np.isin(self.token_ids, np.fromiter(ids, np.int64, len(ids)))
        left, unseen = 1.0 - float(np.exp(self.logprobs[gone]).sum()), len(set(ids)) - int(gone.sum())
        absent = 0.0
        if self.outside and unseen and len(self.logprobs):  # each is less likely than any token of the list
            absent = min(self.outside, unseen * math.exp(self.logprobs.min()))
        if left <= 0 or not (gone.any() or absent):
            return self
        kept = self.logprobs[~gone] - math.log(left)
        return Law(self.token_ids[~gone], kept, self.outside / left, self.others, absent / left)

    def place(self, token_id: int) -> int:
        """Where a token is among the symbols; len(token_ids) for the symbol of all others."""
        found = np.flatnonzero(self.token_ids == token_id)
        return int(found[0]) if len(found) else len(self.token_ids)


@dataclass(frozen=True, slots=True)
class Payment:
    """What the bets pay on one law.

    Args:
        log_bets: float64[places, bets]: the logarithm of each bet at each place asked for; -inf: all is lost.
        growth: float64[bets]: the mean of each, in nats a token, if the law drawn from is the one that it is on; the
            least that it can be where that depends on tokens that are not listed.
        surprisal: float64[places], in nats, of the token among those that are listed; NaN where it is not listed.
        entropy, varentropy: of the law given that a listed token comes, in nats and nats squared.
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
    listed, has_outside = len(law.logprobs), law.outside > 0
    given = law.logprobs - np.logaddexp.reduce(law.logprobs) if listed else law.logprobs
    mass = float(np.exp(law.logprobs).sum())
    outside = law.outside / (mass + law.outside) if has_outside else 0.0
    impossible = places >= listed + has_outside
    hidden = (places >= listed) & ~impossible
    at = np.where(places < listed, places, 0)
    shares = np.exp(given)
    entropy = -float(shares @ given)
    tilts, tilt_growth = _tilts(given, at, outside, law.others)
    tilts[hidden] = 0.0
    p = np.append((1 - outside) * shares, [outside] * has_outside)
    absent = law.absent / (mass + law.outside)
    cuts, cut_growth = _cuts(p, np.where(impossible, 0, places), has_outside, absent)
    bets = np.concatenate([tilts, cuts], axis=1)
    bets[impossible] = math.inf
    surprisal = np.where(impossible, math.inf, np.where(hidden, math.nan, -given[at] if listed else 0.0))
    return Payment(bets, np.concatenate([tilt_growth, cut_growth]), surprisal, entropy,
                   max(0.0, float(shares @ given**2) - entropy**2))  # fmt: skip


def _tilts(given: Floats, at: NDArray[np.int64], outside: float, others: int) -> tuple[Floats, Floats]:
    """On the law ``given`` that a listed token comes; the others have the probability ``outside``."""
    bets, growth = np.zeros((len(at), len(_TILTS))), np.zeros(len(_TILTS))
    if not len(given):
        return bets, growth
    for i, tilt in enumerate(_TILTS):
        weights = np.exp((1 - tilt) * given)
        total = float(weights.sum())
        bets[:, i] = -tilt * given[at] - math.log(total)
        won = -tilt * float(weights @ given) / total - math.log(total)
        growth[i] = won * least_listed(total, outside, others, 1 - tilt)
    return bets, growth


def least_listed(total: float, outside: float, others: int, power: float) -> float:
    """The least probability of the list after a temperature: the others are equal if hot, one token if cold.

    Args:
        total: the sum of the powers of the list's own probabilities.
        outside: the probability of the others before.
        others: how many they are, at most.
        power: one divided by the temperature.
    """
    if outside == 0:
        return 1.0
    inside = total * (1 - outside) ** power
    rest = max(1, others) ** max(0.0, 1 - power) * outside**power
    return float(inside / (inside + rest))


def _cuts(p: Floats, at: NDArray[np.int64], has_outside: bool, absent: float) -> tuple[Floats, Floats]:
    """A head that goes beyond the list cannot be told from others, so there is no bet on it.

    Up to ``absent`` may be missing beyond a head. A bet on less there takes the least that may be there, and one on
    more the most: their means are then 1 or less.
    """
    listed = len(p) - has_outside
    reached = np.cumsum(p[:listed])
    heads = [int(np.searchsorted(reached, share)) + 1 for share in _NUCLEI] + list(_TOPS)
    whole_list = listed if has_outside else listed + 1
    wagered = [(head, cut) for head in heads for cut in _CUTS] + [(whole_list, cut) for cut in _LIST_CUTS]
    bets, growth = np.zeros((len(at), len(wagered))), np.zeros(len(wagered))
    for i, (head, cut) in enumerate(wagered):
        beyond = float(p[head:].sum()) if head <= listed else 0.0
        if cut > 0 and absent:
            beyond = (beyond - absent) / (1 - absent)
        if not 0 < beyond < 1:
            continue
        left, lost = math.log1p(-cut * beyond), math.log1p(-cut) if cut < 1 else -math.inf
        kept = beyond * (1 - cut) / (1 - cut * beyond)
        bets[:, i] = np.where(at >= head, lost, 0.0) - left
        growth[i] = (kept * lost if kept else 0.0) - left
    return bets, growth
