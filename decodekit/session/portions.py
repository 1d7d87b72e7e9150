"""A long prompt is evaluated in portions: between them others get their tokens, and a deadline can end it.

A forward pass cannot be interrupted, and a caller that waits for one cannot be served. On a CPU a token of a prompt
takes the same time in portions of 16 as of 512; on a GPU the portions grow until they take a tenth of a second.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Sequence
from typing import cast

from decodekit.distribution.disclosure import Disclosure
from decodekit.errors import DecodekitError
from decodekit.model.adapter import Adapter, Answer, AsyncAdapter
from decodekit.model.asking import BlockingAdapter, is_async, rounds_of
from decodekit.model.loops import OutOfTime
from decodekit.model.prefix import Prefix
from decodekit.model.token_budget import LONG, QUICK
from decodekit.session.question import Question
from decodekit.session.recent import evaluated, recently_evaluated

__all__ = ["has_company", "portions"]

_FIRST = 128  # tokens of the first portion
_FIRST_OF_DEADLINE = 32  # of a call with a deadline
_UNCACHED = 1.4  # times the seconds per new token of the portion before: then the model begins at the first token again


def has_company(adapter: Adapter | AsyncAdapter) -> bool:
    """Whether other callers ask this adapter now, who would wait for a long call."""
    local = not isinstance(adapter, BlockingAdapter) and not is_async(adapter)
    return local and rounds_of(cast(Adapter, adapter)).callers > 1


def portions(
    adapter: Adapter | AsyncAdapter, prefix: Prefix, until: float | None
) -> Generator[Question, Sequence[Answer], int]:
    """Fill the adapter's KV cache with a prefix, by asking for longer and longer beginnings of it, until the deadline.

    Nothing is asked of an async adapter: its questions do not wait for one another, and its calls are cancelled at the
    deadline. What was evaluated lately is not asked for again. Without a deadline, a model without a cache is asked for
    the rest at once: portions would only cost. An adapter says whether it has one (``caches``); of another it is seen
    where the time per new token grows with the prefix, as long as nobody else is served. An error here is ignored: it
    is raised again when the whole prefix is asked for.

    Args:
        adapter: the model.
        prefix: the prompt.
        until: the deadline, on the clock of ``time.monotonic``; a portion that starts before it may end after it. None
            for no deadline.

    Returns:
        How many tokens are left to evaluate, at most.
    """
    if isinstance(adapter, BlockingAdapter) or is_async(adapter):
        return 0
    adapter = cast(Adapter, adapter)
    room, caches = adapter.info.context_length, getattr(adapter, "caches", None)
    if (caches is False and until is None) or (room is not None and len(prefix) > room):
        return len(prefix)  # a prefix that does not fit is refused at once
    portion, place = _FIRST if until is None else _FIRST_OF_DEADLINE, 0
    if len(prefix) > portion:
        place = recently_evaluated(adapter, prefix)
    ids, rounds = prefix.since(0), rounds_of(adapter)
    done, pace = Prefix(ids[:place]), math.inf
    while len(done) + portion < len(prefix):
        alone = rounds.callers == 1
        begun = time.monotonic()
        if begun >= (math.inf if until is None else until):
            break
        new, more = portion, done.extend(ids[len(done) : len(done) + portion])
        try:
            (answer,) = yield Question([more], [Disclosure(top=1)], [], new)
        except (DecodekitError, OutOfTime):
            break
        if isinstance(answer, DecodekitError):
            break
        taken, done = time.monotonic() - begun, more
        alone = alone and rounds.callers == 1  # else the time of others is in it
        if taken < QUICK:
            portion *= 2
        elif until is None and caches is None and alone and taken / new > _UNCACHED * pace:
            evaluated(adapter, prefix, len(prefix) - len(done))  # the rest is asked for at once
            break
        elif until is None and taken > LONG and portion > _FIRST_OF_DEADLINE:
            portion //= 2
        pace = taken / new if alone else math.inf
    else:
        evaluated(adapter, prefix, len(prefix) - len(done))
    return len(prefix) - len(done)
