"""The note on what one processor did to the distribution."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from decodekit.chain.link import Applied
from decodekit.distribution import Distribution, Row
from decodekit.distribution.disclosure import Interval, Tail, Undisclosed
from decodekit.distribution.divergence import expected_gap
from decodekit.distribution.divergence import kl as kl_divergence
from decodekit.errors import PluginError

__all__ = [
    "Entry",
    "entry_of",
    "known",
]


@dataclass(frozen=True, slots=True)
class Entry:
    """What one processor did to the distribution.

    Args:
        name: the processor.
        support: how many tokens have probability now; None on a head with a tail.
        entropy: in nats; None on a head with a tail.
        kl: Kullback-Leibler divergence D(this stage || the stage before), in nats; None where a tail makes it unknown.
        mass_removed: the probability, at the stage before, of the tokens that this stage removed; None as for ``kl``.
        kept_mass: Z, the probability at the stage before of the tokens that a mask left; None where no mask acted, or
            hidden tokens make it unknown.
        kept_bounds: an interval for it where hidden tokens make it unknown.
        ambiguous: whether a decision here lay within 1e-9 of its boundary.
        tail: what is undisclosed at this stage; None when nothing is.
        gave_up: the tail that was given up here under ``on_undisclosed='truncate'``; None when none was.
        tosses: (lane, word) of the random numbers that the processor drew.
        top: (token id, logprob) of the leading tokens at this stage.
        chosen: the log-probability, at this stage, of the token that was chosen in the end; -inf before a processor
            that gives it probability again, None where a tail makes it unknown.
    """

    name: str
    support: int | None = None
    entropy: float | None = None
    kl: float | None = None
    mass_removed: float | None = None
    kept_mass: float | None = None
    kept_bounds: Interval | None = None
    ambiguous: bool = False
    tail: Tail | None = None
    gave_up: Tail | None = None
    tosses: tuple[tuple[int, int], ...] = ()
    top: tuple[tuple[int, float], ...] = ()
    chosen: float | None = None


def entry_of(part: Applied, *, chosen: int, logprob: float | None, top: int, step: int, exact: bool) -> Entry:
    """The record of one processor.

    Args:
        part: what it was called with, and what it returned.
        chosen: the token that was chosen in the end.
        logprob: of that token at the stage before; None where it is not known.
        top: how many leading tokens the entry keeps.
        step: the number of tokens generated before.
        exact: the next part uses the chosen token's log-probability at this stage, so it is recorded to the last bit.

    Raises:
        PluginError: it gave probability to a token that had none.
    """
    before, after = part.before, part.after
    mask = part.link.traits.kind == "mask"
    complete = after.hidden is None
    factor = None if logprob is None or not complete else after.row.factor_from(before.row)
    kl: float | None
    removed: float | None
    now: float | None
    if logprob is not None and factor is not None and (before.hidden is None or before.row.offset_is_small):
        kl, removed, now = _by_factor(before, after.row, factor, logprob)
        if exact:
            now = after.logprob(chosen)
    else:
        now = known(after.logprob, chosen)
        kl, removed = _moved(before, after) if complete else (None, None)
        if kl == math.inf and not part.link.traits.revives:
            support = after.support()
            revived = int(support[before.logprobs_of(support) == -math.inf][0])
            raise PluginError(
                f"it gave probability to token {revived}, which had none", plugin=part.link.shown, step=step
            )
    return Entry(
        name=part.link.name,
        support=after.row.support_size if complete else None,
        entropy=after.row.entropy if complete else None,
        kl=kl,
        mass_removed=removed,
        kept_mass=math.exp(-kl) if mask and kl is not None else None,
        kept_bounds=_kept_bounds(before, after) if mask and kl is None else None,
        ambiguous=after.ambiguous and not before.ambiguous,
        tail=after.tail,
        gave_up=part.gave_up,
        tosses=part.tosses,
        top=_pairs(after, top),
        chosen=now,
    )


def _by_factor(dist: Distribution, after: Row, factor: float, logprob: float) -> tuple[float, float, float]:
    """The divergence, the mass removed and the chosen token's log-probability, from the two normalisers alone.

    This holds where tokens were only removed, or all scores only multiplied by one factor.
    """
    before = dist.row
    if dist.hidden is not None:  # of a head only tokens can be removed, and its normaliser is that of all tokens
        gap = max(0.0, dist.log_normalizer - after.log_weight)
        return gap, -math.expm1(-gap), min(0.0, logprob + dist.log_normalizer - after.log_weight)
    gap = kl_divergence(after, before)
    if before.offset_is_small and after.offset_is_small:
        now = factor * (logprob + before.log_weight) - after.log_weight
    else:
        now = factor * (logprob + before.log_total) + (factor * before.max_score - after.max_score) - after.log_total
    return gap, -math.expm1(-gap) if factor == 1.0 else 0.0, min(0.0, now)


def _moved(before: Distribution, after: Distribution) -> tuple[float | None, float | None]:
    """The divergence and the mass removed; None where a tail makes them unknown."""
    if after is before:
        return 0.0, 0.0
    try:
        if after.token_ids is not None:
            was = before.logprobs_of(after.token_ids)
            return max(0.0, expected_gap(after.logprobs, was)), max(0.0, 1.0 - float(np.exp(was).sum()))
        removed = 0.0
        if after.support_size < before.support_size:
            removed = max(0.0, 1.0 - float(np.exp(before.logprobs_of(after.support())).sum()))
        return after.kl(before), removed
    except Undisclosed:
        return None, None


def _kept_bounds(before: Distribution, after: Distribution) -> Interval:
    """Bounds on the mass that a mask left of a head with a tail. A mask leaves the scores as they are."""
    total, shown = before.bounds("log_normalizer"), after.row.log_weight
    most = shown if after.hidden is None else float(np.logaddexp(shown, after.hidden.log_high))
    low, high = (math.exp(min(part - whole, 0.0)) for part, whole in ((shown, total.high), (most, total.low)))
    return Interval(low, high)


def _pairs(dist: Distribution, top: int) -> tuple[tuple[int, float], ...]:
    if top == 0:
        return ()
    ids, logprobs = dist.leading(top)
    return tuple(zip(ids.tolist(), logprobs.tolist(), strict=True))


def known(question: Callable[[int], Any], token_id: int) -> Any:
    """The answer, or None where the disclosed part does not determine it."""
    try:
        return question(token_id)
    except Undisclosed:
        return None
