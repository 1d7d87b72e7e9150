"""How far apart two answers to one question are: bits, log-probabilities, total variation, the most likely token."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import Interval
from decodekit.errors import ParameterError
from decodekit.testing.comparing import equal_bits
from decodekit.types import Ids

__all__ = ["Gap", "gap_between", "tv_bounds"]


@dataclass(frozen=True, slots=True)
class Gap:
    """The distance of two answers to one question.

    Args:
        same_bits: whether what they show is equal to the last bit; then all differences are 0, but for the bound on
            what lists leave open.
        largest: the largest ``|dlogp|`` of a token that both show, in nats; inf where one gives it no probability.
        mean: the mean of ``|dlogp|`` over the tokens that both show, in nats.
        weighted: ``sum(p * |dlogp|)`` over them, in nats, with p of the first answer.
        tv: bounds on the total variation; a point where nothing is undisclosed.
        mode_moved: whether the most likely tokens differ; None where a hidden token could be one.
    """

    same_bits: bool
    largest: float
    mean: float
    weighted: float
    tv: Interval
    mode_moved: bool | None


_NONE = Gap(True, 0.0, 0.0, 0.0, Interval(0.0, 0.0), False)


def gap_between(one: Distribution, other: Distribution) -> Gap:
    """Compare two raw answers.

    Raises:
        ParameterError: they are over vocabularies of different sizes.
        Undisclosed: the normaliser of one is unknown.
    """
    if None not in (one.vocab_size, other.vocab_size) and one.vocab_size != other.vocab_size:
        raise ParameterError(f"the vocabularies have {one.vocab_size} and {other.vocab_size} tokens")
    if equal_bits(one, other):
        whole = one.tail is None and other.tail is None
        return _NONE if whole else replace(_NONE, tv=tv_bounds(one, other), mode_moved=_mode_moved(one, other))
    ids = _both(one, other)
    p, q = one.logprobs_of(ids), other.logprobs_of(ids)
    alive = (p > -math.inf) | (q > -math.inf)
    p, q = p[alive], q[alive]
    moved = np.abs(p - q)
    weights = np.exp(p)
    weighted = float((weights * moved)[weights > 0].sum())
    largest, mean = (float(moved.max()), float(moved.mean())) if len(moved) else (0.0, 0.0)
    return Gap(False, largest, mean, weighted, tv_bounds(one, other), _mode_moved(one, other))


def tv_bounds(one: Distribution, other: Distribution) -> Interval:
    """Bounds on the total variation of two distributions of which tokens may be undisclosed.

    The tokens that both show are compared. One that only one side shows has at most ``max_logprob`` on the other, and
    all that a side hides has at most its tail's mass.
    """
    if one.tail is None and other.tail is None:
        value = one.tv(other)
        return Interval(value, value)
    ids = _both(one, other)
    p, q = np.exp(one.logprobs_of(ids)), np.exp(other.logprobs_of(ids))
    shared = float(np.abs(p - q).sum())
    low = high = 0.0
    for side, against in ((one, other), (other, one)):
        only = np.exp(side.logprobs_of(np.setdiff1d(_shown(side), ids)))
        most = _most_hidden(against)
        low += float(np.maximum(only - most, 0.0).sum())
        high += float(only.sum()) + (0.0 if side.tail is None else side.tail.mass_high)
    return Interval(min(1.0, 0.5 * (shared + low)), min(1.0, 0.5 * (shared + high)))


def _most_hidden(dist: Distribution) -> float:
    """The most that one hidden token can have."""
    tail = dist.tail
    if tail is None:
        return 0.0
    return tail.mass_high if tail.max_logprob is None else min(tail.mass_high, math.exp(tail.max_logprob))


def _shown(dist: Distribution) -> Ids:
    return np.arange(len(dist.row)) if dist.token_ids is None else dist.token_ids


def _both(one: Distribution, other: Distribution) -> Ids:
    """The tokens whose log-probability is known on both sides."""
    if one.tail is None and other.tail is None:
        same = one.token_ids is None and other.token_ids is None and len(one.row) == len(other.row)
        return _shown(one) if same else np.union1d(_shown(one), _shown(other))
    if one.tail is None or other.tail is None:
        return _shown(one if one.tail is not None else other)
    return np.intersect1d(_shown(one), _shown(other))


def _mode_moved(one: Distribution, other: Distribution) -> bool | None:
    modes = [_mode(dist) for dist in (one, other)]
    return None if None in modes else modes[0] != modes[1]


def _mode(dist: Distribution) -> int | None:
    ids, _ = dist.ranked(1)
    return int(ids[0]) if len(ids) else None
