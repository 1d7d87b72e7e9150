"""Comparing two answers to one question: bit by bit, within a tolerance, or a part with the whole."""

from __future__ import annotations

import math

import numpy as np

from decodekit.distribution import Distribution
from decodekit.model.adapter import Answer
from decodekit.types import Floats, Ids

__all__ = ["bits_of", "check_agree", "difference_of", "equal_bits"]

_LIKELY = 1e-6  # tokens below this probability are left out of a comparison with a tolerance
_ROUNDING = 1e-5  # the most that two roundings of one float32 row may differ, in nats


def bits_of(answer: Answer) -> tuple[bytes, bytes]:
    """The bytes of the scores and of the ids of an answer."""
    assert isinstance(answer, Distribution)
    ids = answer.token_ids
    return answer.row.values.tobytes(), b"" if ids is None else ids.tobytes()


def equal_bits(left: Distribution, right: Distribution) -> bool:
    """Whether two answers are the same to the last bit."""
    return left.row.values.dtype == right.row.values.dtype and bits_of(left) == bits_of(right)


def difference_of(left: Distribution, right: Distribution) -> float:
    """The largest difference of logprobs, over tokens above 1e-6 that both sides show; inf if the shapes differ."""
    if (left.token_ids is None) != (right.token_ids is None):
        return math.inf
    first, second = left.logprobs, right.logprobs
    if left.token_ids is not None and right.token_ids is not None:
        both, here, there = np.intersect1d(left.token_ids, right.token_ids, return_indices=True)
        if len(both) == 0:
            return math.inf
        worst = _largest_gap(first[here], second[there])
        for one, other, shown in ((left, right, here), (right, left, there)):
            edge = math.inf if other.tail is None or other.tail.max_logprob is None else other.tail.max_logprob
            missing = np.delete(one.logprobs, shown)
            if len(missing):
                worst = max(worst, float(missing.max()) - edge)
        return worst
    return math.inf if len(first) != len(second) else _largest_gap(first, second)


def _largest_gap(left: Floats, right: Floats) -> float:
    likely = np.maximum(left, right) > math.log(_LIKELY)
    a, b = left[likely], right[likely]
    if np.isinf(a).any() or np.isinf(b).any():
        return math.inf
    return float(np.abs(a - b).max()) if len(a) else 0.0


def check_agree(part: Answer, whole: Answer, how: str, tolerance: float = 0.0) -> None:
    """Assert that the tokens and the tail of one answer are right for a fuller answer to the same question."""
    assert isinstance(part, Distribution) and isinstance(whole, Distribution), how
    slack = max(tolerance, _ROUNDING)
    ids = np.arange(len(part.row)) if part.token_ids is None else part.token_ids
    if whole.token_ids is not None and whole.tail is not None:
        ids = ids[np.isin(ids, whole.token_ids)]
    shown, known = part.logprobs_of(ids), whole.logprobs_of(ids)
    gap = _largest_gap(shown, known)
    assert gap <= slack, (
        f"{how}: logprobs differ by {gap:.3g} nats from the fuller answer; nothing may be renormalised or rounded"
    )
    if part.tail is None:
        return
    hidden = _hidden_from(part, whole)
    if len(hidden) == 0:
        return
    logprobs = whole.logprobs_of(hidden)
    bound = part.tail.max_logprob
    if bound is not None:
        worst = float(logprobs.max())
        assert worst <= bound + slack, (
            f"{how}: the tail says that no hidden token has a logprob above {bound:.6g}, and one has {worst:.6g}"
        )
    mass = float(np.exp(logprobs).sum())
    assert mass <= part.tail.mass_high + slack, (
        f"{how}: the tail says that the hidden tokens have {part.tail.mass_high:.6g} at most, and they have {mass:.6g}"
    )
    if whole.tail is None:
        assert mass >= part.tail.mass_low - slack, (
            f"{how}: the tail says that the hidden tokens have {part.tail.mass_low:.6g} at least, "
            f"and they have {mass:.6g}"
        )
        assert part.tail.count in (None, len(hidden)), (
            f"{how}: the tail counts {part.tail.count} hidden tokens, and there are {len(hidden)}"
        )


def _hidden_from(part: Distribution, whole: Distribution) -> Ids:
    """The tokens of ``whole`` that ``part`` does not show."""
    known = np.arange(len(whole.row)) if whole.token_ids is None else whole.token_ids
    return known if part.token_ids is None else np.setdiff1d(known, part.token_ids)
