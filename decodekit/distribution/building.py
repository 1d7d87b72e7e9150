"""Rows made from numbers of the caller: copied, checked, sorted."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from decodekit.distribution.hidden import Hidden
from decodekit.distribution.passes import check, frozen
from decodekit.distribution.row import Row
from decodekit.distribution.transforms import checked, listed
from decodekit.errors import DistributionError
from decodekit.types import Floats, Ids

__all__ = ["dense_row", "head_of", "listed_row"]

_MASS_SLACK = 1e-6  # float32 logprobs of a few dozen tokens sum to one within this
_ENTROPY_SLACK = 1e-6
_MASS_EXCESS = 1e-3  # a head whose probabilities sum to more than 1 + this is not a distribution


def dense_row(scores: ArrayLike) -> Row:
    """See `Distribution.dense`."""
    values = np.asarray(scores)
    if values.ndim != 1 or values.size == 0:
        raise DistributionError(
            f"dense scores are one row, with a number for each token; this is an array of shape {values.shape}"
        )
    if values.dtype not in (np.float32, np.float64):
        values = values.astype(np.float32 if values.dtype == np.float16 else np.float64)
    values = values.copy()
    return checked(values, len(values))


def listed_row(token_ids: ArrayLike, scores: ArrayLike, vocab_size: int | None) -> Row:
    """See `Distribution.listed`."""
    ids, values = _tokens(token_ids, scores, vocab_size, "a list", "scores")
    check(values)
    return listed(ids, values, vocab_size)


def head_of(
    token_ids: ArrayLike,
    logprobs: ArrayLike,
    vocab_size: int | None,
    max_hidden: float | None,
    entropy: float | None,
    support: int | None = None,
) -> tuple[Row, Hidden | None]:
    """The disclosed tokens of a head and what is known of the others; None when there are none. See `head`."""
    ids, scores = _tokens(token_ids, logprobs, vocab_size, "a head", "logprobs")
    if max_hidden is not None and not math.isfinite(max_hidden):
        raise DistributionError(f"max_hidden bounds the undisclosed logprobs and is finite, not {max_hidden}")
    most = math.inf if vocab_size is None else math.log(vocab_size) + _ENTROPY_SLACK
    if entropy is not None and not (math.isfinite(entropy) and 0 <= entropy <= most):
        raise DistributionError(f"an entropy of {entropy} nats over {vocab_size} tokens is impossible")
    if support is not None and not np.count_nonzero(scores > -math.inf) <= support <= (vocab_size or support):
        raise DistributionError(f"{support} of {vocab_size} tokens cannot be those that have probability")
    check(scores)
    order = np.lexsort((ids, -scores))  # that of a record, from which every sum must come out again
    ids, scores = ids[order], scores[order]
    mass = float(np.exp(scores).sum())
    if scores.max() > _MASS_EXCESS or mass > 1 + _MASS_EXCESS:
        raise DistributionError(f"logprobs up to {scores.max():.6g} with a sum of {mass:.6g} are not log-probabilities")
    if vocab_size is not None and len(ids) == vocab_size:
        return listed(ids, scores, vocab_size), None
    low, high = max(0.0, 1 - mass - _MASS_SLACK), max(0.0, 1 - mass) + _MASS_SLACK
    bound = float(scores[scores > -math.inf].min()) if max_hidden is None else float(max_hidden)
    hidden = Hidden(
        log_low=math.log(low) if low > 0 else -math.inf,
        log_high=math.log(high),
        count=None if vocab_size is None else vocab_size - len(ids),
        max_score=min(bound, math.log(high / (high + mass))),  # as probabilities, which sum to one
        log_normalizer=0.0,
        entropy=None if entropy is None else float(entropy),
        support=support,
    )
    return Row(frozen(ids), frozen(scores), vocab_size), hidden


def _tokens(token_ids: ArrayLike, scores: ArrayLike, vocab_size: int | None, what: str, of: str) -> tuple[Ids, Floats]:
    """Copies of distinct ids inside the vocabulary and of as many scores."""
    ids, values = np.array(token_ids, dtype=np.int64), np.array(scores, dtype=np.float64)
    if ids.ndim != 1 or ids.shape != values.shape or len(ids) == 0:
        raise DistributionError(
            f"{what} needs as many ids as {of}, in one list and at least one; it has {ids.size} and {values.size}"
        )
    rising = ids.copy()
    rising.sort()
    if np.count_nonzero(rising[1:] == rising[:-1]):
        raise DistributionError(f"{what} names the same token twice")
    if rising[0] < 0 or (vocab_size is not None and rising[-1] >= vocab_size):
        bad = int(rising[0] if rising[0] < 0 else rising[-1])
        raise DistributionError(f"{what} names token {bad} of a vocabulary of {vocab_size}")
    return ids, values
