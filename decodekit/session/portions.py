"""A long prompt is evaluated in portions, so that a deadline can end it: a forward pass cannot be interrupted."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence

from decodekit.distribution.disclosure import Disclosure
from decodekit.errors import DecodekitError
from decodekit.model.adapter import Adapter, Answer, AsyncAdapter
from decodekit.model.asking import BlockingAdapter, is_async
from decodekit.model.background import OutOfTime
from decodekit.model.prefix import Prefix
from decodekit.session.run import Question

__all__ = ["portions"]

_PORTION = 32  # tokens; on a CPU a token takes the same time in portions of 16 as of 512
_QUICK = 0.1  # seconds; after a portion that takes less, portions are twice as long


def portions(
    adapter: Adapter | AsyncAdapter, prefix: Prefix, until: float
) -> Generator[Question, Sequence[Answer], None]:
    """Fill the adapter's KV cache with a prefix, by asking for longer and longer beginnings of it, until the deadline.

    Nothing is asked of an async adapter: its calls are cancelled at the deadline. An error here is ignored: it is
    raised again when the whole prefix is asked for.

    Args:
        adapter: the model.
        prefix: the prompt.
        until: the deadline, on the clock of ``time.monotonic``; a portion that starts before it may end after it.
    """
    if isinstance(adapter, BlockingAdapter) or is_async(adapter):
        return
    portion, done = _PORTION, Prefix()
    ids = prefix.since(0)
    while len(done) + portion < len(prefix):
        begun = time.monotonic()
        if begun >= until:
            return
        done = done.extend(ids[len(done) : len(done) + portion])
        try:
            (answer,) = yield Question([done], [Disclosure(top=1)], [])
        except (DecodekitError, OutOfTime):
            return
        if isinstance(answer, DecodekitError):
            return
        if time.monotonic() - begun < _QUICK:
            portion *= 2
