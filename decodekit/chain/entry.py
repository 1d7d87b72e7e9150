"""The note on what one processor did to the distribution."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from decodekit.chain.link import Applied
from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import Tail, Undisclosed
from decodekit.distribution.divergence import expected_gap
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
        kl: Kullback-Leibler divergence of the stage before from this one, in nats; None where a tail leaves it open.
        mass_removed: the probability, at the stage before, of the tokens this one removed; None likewise.
        ambiguous: whether a decision here lay within 1e-9 of its boundary.
        tail: what is undisclosed at this stage; None when nothing is.
        gave_up: the tail that was given up here under ``on_undisclosed='truncate'``; None when none was.
        tosses: (lane, word) of the random numbers the processor drew.
        top: (token id, logprob) of the leading tokens at this stage.
        chosen: the log-probability, at this stage, of the token that was chosen in the end; -inf before a processor
            that revives it, None where a tail leaves it open.
    """

    name: str
    support: int | None
    entropy: float | None
    kl: float | None
    mass_removed: float | None
    ambiguous: bool = False
    tail: Tail | None = None
    gave_up: Tail | None = None
    tosses: tuple[tuple[int, int], ...] = ()
    top: tuple[tuple[int, float], ...] = ()
    chosen: float | None = None


def entry_of(part: Applied, chosen: int, logprob: float | None, top: int, step: int, *, exact: bool) -> Entry:
    """The record of one processor; ``logprob`` is the chosen token's at the stage before.

    ``exact``: what follows learns from the chosen token's log-probability here, so the record has all its bits.
    """
    link, before, after, tosses, gave_up = part.link, part.before, part.after, part.tosses, part.gave_up
    ambiguous, leaders = after.ambiguous and not before.ambiguous, _pairs(after, top)
    factor = None if logprob is None or before.tail is not None else after._factor_from(before)
    if factor is not None:
        # Tokens were left out or all scores multiplied, so the two normalisers say it all.
        assert logprob is not None
        gap = after.kl(before)
        lost = -math.expm1(-gap) if factor == 1.0 else 0.0
        lead = factor * before.max_score - after.max_score
        quick = min(0.0, factor * (logprob + before._log_total) + lead - after._log_total)
        now = after.logprob(chosen) if exact else quick
        size, entropy = after.support_size, after.entropy
        return Entry(link.name, size, entropy, gap, lost, ambiguous, None, gave_up, tosses, leaders, now)
    logprob = known(after.logprob, chosen)
    if after.tail is not None:
        return Entry(link.name, None, None, None, None, ambiguous, after.tail, gave_up, tosses, leaders, logprob)
    kl, removed = _moved(before, after)
    if kl == math.inf and not link.revives:
        support = after.support()
        revived = int(support[before.logprobs_of(support) == -math.inf][0])
        raise PluginError(f"it gave probability to token {revived}, which had none", plugin=link.name, step=step)
    size, entropy = after.support_size, after.entropy
    return Entry(link.name, size, entropy, kl, removed, ambiguous, None, gave_up, tosses, leaders, logprob)


def _moved(before: Distribution, after: Distribution) -> tuple[float | None, float | None]:
    """The divergence and the mass removed; None where a tail leaves them open."""
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


def _pairs(dist: Distribution, top: int) -> tuple[tuple[int, float], ...]:
    if top == 0:
        return ()
    ids, logprobs = dist.leading(top)
    return tuple(zip(ids.tolist(), logprobs.tolist(), strict=True))


def known(question: Callable[[int], Any], token_id: int) -> Any:
    """The answer, or None where the disclosed part does not settle it."""
    try:
        return question(token_id)
    except Undisclosed:
        return None
