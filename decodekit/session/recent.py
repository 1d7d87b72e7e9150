"""What each adapter evaluated last, as far as the sessions know: an estimate of what its KV cache still holds."""

from __future__ import annotations

import threading
from collections import deque
from weakref import WeakKeyDictionary

from decodekit.fork import after_fork
from decodekit.local.content_index import common_length
from decodekit.model.adapter import Adapter, AsyncAdapter
from decodekit.model.prefix import Prefix
from decodekit.types import Ids

__all__ = ["evaluated", "recently_evaluated"]

_KEPT = 64  # texts for each adapter

_texts: WeakKeyDictionary[Adapter | AsyncAdapter, deque[Ids]] = WeakKeyDictionary()
_guard = threading.Lock()


def evaluated(adapter: Adapter | AsyncAdapter, prefix: Prefix) -> None:
    """Note that the adapter has evaluated this prefix. O(length)."""
    ids = prefix.since(0)
    try:
        with _guard:
            _texts.setdefault(adapter, deque(maxlen=_KEPT)).append(ids)
    except TypeError:  # no hash, or slots without __weakref__
        return


def recently_evaluated(adapter: Adapter | AsyncAdapter, prefix: Prefix) -> int:
    """How many leading tokens of this prefix the adapter evaluated for another one, of the last 64."""
    try:
        with _guard:
            texts = list(_texts.get(adapter, ()))
    except TypeError:
        return 0
    ids = prefix.since(0)
    return max((common_length(ids, text) for text in texts), default=0)


@after_fork
def _forget() -> None:
    global _guard
    _guard = threading.Lock()
