"""One user at a time of something that may be freed: whoever frees it waits for the computation that uses it."""

from __future__ import annotations

import threading
from weakref import WeakSet

from decodekit.fork import after_fork

__all__ = ["Exclusive"]


class Exclusive:
    """Holds a lock that is free in a forked process: the thread that held it is not there.

    Native code that computes in one thread breaks down when another one frees its memory: on closing, or at the end of
    the process, where daemon threads still run.

    Attributes:
        lock: for ``with exclusive.lock``. Not a method: an interrupt could come between its call and the block. A
            thread that holds it gets it again, so that a signal handler may close what it interrupts.
    """

    __slots__ = ("__weakref__", "lock")

    def __init__(self) -> None:
        self.lock = threading.RLock()
        _all.add(self)


_all: WeakSet[Exclusive] = WeakSet()


@after_fork
def _free_all() -> None:
    for each in list(_all):
        each.lock = threading.RLock()
