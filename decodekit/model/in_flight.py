"""The questions that an async adapter is being asked. A blocking adapter's wait in its rounds."""

from __future__ import annotations

import threading
from weakref import WeakKeyDictionary

from decodekit.fork import after_fork
from decodekit.model.adapter import AsyncAdapter

__all__ = ["in_flight"]

_questions: WeakKeyDictionary[AsyncAdapter, set[object]] = WeakKeyDictionary()
_guard = threading.Lock()


def in_flight(adapter: AsyncAdapter) -> set[object]:
    """One object for each question: added before it is asked, and discarded in a ``finally``.

    An adapter that takes no weak references has none that are counted.
    """
    try:
        with _guard:
            return _questions.setdefault(adapter, set())
    except TypeError:
        return set()


@after_fork
def _forget() -> None:
    """In a forked process the callers of the parent are not there, and the lock may stay locked."""
    global _questions, _guard
    _questions, _guard = WeakKeyDictionary(), threading.Lock()
