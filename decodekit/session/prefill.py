"""Prefill of a long prompt in portions, so that a deadline can end it: a forward pass cannot be interrupted."""

from __future__ import annotations

import time

from decodekit.distribution.disclosure import Disclosure
from decodekit.errors import DecodekitError
from decodekit.model.adapter import Adapter
from decodekit.model.asking import BlockingAdapter, ask
from decodekit.model.background import OutOfTime
from decodekit.model.prefix import Prefix

__all__ = ["prefill"]

_PORTION = 32  # tokens; on a CPU a token takes the same time in portions of 16 as of 512
_QUICK = 0.1  # seconds; after a portion that takes less, portions are twice as long


def prefill(adapter: Adapter, prefix: Prefix, until: float) -> None:
    """Fill the adapter's KV cache with a prefix, by asking for longer and longer beginnings of it, until the deadline.

    Nothing is done for an async adapter: its calls are cancelled at the deadline. An error here is ignored: it is
    raised again when the whole prefix is asked for.

    Args:
        adapter: the model.
        prefix: the prompt.
        until: the deadline, on the clock of ``time.monotonic``; a portion that starts before it may end after it.
    """
    if isinstance(adapter, BlockingAdapter):
        return
    portion, done = _PORTION, Prefix()
    ids = prefix.since(0)
    while len(done) + portion < len(prefix):
        begun = time.monotonic()
        if begun >= until:
            return
        done = done.extend(ids[len(done) : len(done) + portion])
        try:
            (answer,) = ask(adapter, [done], Disclosure(top=1), until=until)
        except (DecodekitError, OutOfTime):
            return
        if isinstance(answer, DecodekitError):
            return
        if time.monotonic() - begun < _QUICK:
            portion *= 2
