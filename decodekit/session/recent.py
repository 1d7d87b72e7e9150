"""What each adapter evaluated last, as far as the sessions know: an estimate of what its KV cache still holds."""

from __future__ import annotations

import threading
from collections import deque
from typing import NamedTuple
from weakref import WeakKeyDictionary

from decodekit.fork import after_fork
from decodekit.local.content_index import common_length
from decodekit.model.adapter import Adapter
from decodekit.model.asking import rounds_of
from decodekit.model.prefix import Prefix
from decodekit.types import Ids

__all__ = ["evaluated", "recently_evaluated"]

_KEPT = 64  # texts for each adapter


class _Text(NamedTuple):
    ids: Ids
    asked: int  # how many tokens the adapter had been asked for when it was evaluated


_texts: WeakKeyDictionary[Adapter, deque[_Text]] = WeakKeyDictionary()
_guard = threading.Lock()


def evaluated(adapter: Adapter, prefix: Prefix, left: int) -> None:
    """Note that the adapter has evaluated this prefix when it is asked for the last ``left`` tokens. O(length)."""
    text = _Text(prefix.since(0), rounds_of(adapter).asked + left + 1)
    try:
        with _guard:
            _texts.setdefault(adapter, deque(maxlen=_KEPT)).append(text)
    except TypeError:  # no hash, or slots without __weakref__
        return


def recently_evaluated(adapter: Adapter, prefix: Prefix) -> int:
    """How many leading tokens of this prefix the adapter evaluated for another one, of the last 64, and still holds.

    A cache holds at least one prefix of the longest kind. So a text is forgotten once it and the tokens that were asked
    for since are more than that.
    """
    try:
        with _guard:
            texts = list(_texts.get(adapter, ()))
    except TypeError:
        return 0
    ids, asked, room = prefix.since(0), rounds_of(adapter).asked, adapter.info.context_length
    held = [text.ids for text in texts if room is None or len(text.ids) + asked - text.asked <= room]
    return max((common_length(ids, text) for text in held), default=0)


@after_fork
def _forget() -> None:
    global _guard
    _guard = threading.Lock()
