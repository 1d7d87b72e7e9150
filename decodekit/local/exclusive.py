"""One user at a time of something that may be freed: whoever frees it waits for the computation that uses it."""

from __future__ import annotations

import threading
from weakref import WeakSet

from decodekit.errors import AdapterError
from decodekit.fork import after_fork

__all__ = ["Exclusive"]


class Exclusive:
    """Holds a lock that is free in a forked process: the thread that held it is not there.

    Native code that computes in one thread breaks down when another one frees its memory: on closing, or at the end of
    the process, where daemon threads still run.

    Attributes:
        lock: for ``with exclusive.lock``. Not a method: an interrupt could come between its call and the block. A
            thread that holds it gets it again, so that a signal handler may close what it interrupts.
        torn: this process was forked while another thread computed, so what it wrote is half done here.
    """

    __slots__ = ("__weakref__", "lock", "torn")

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.torn = False
        _all.add(self)

    def require_whole(self, adapter: str) -> None:
        """Raises `AdapterError`, with the adapter's registered name, where the state is half done."""
        if self.torn:
            raise AdapterError(
                f"this process was forked while adapter {adapter!r} computed in another thread, so its cache is half "
                "written here. Start processes with multiprocessing.get_context('spawn') and build the adapter in each "
                "of them"
            )


_all: WeakSet[Exclusive] = WeakSet()


@after_fork
def _free_all() -> None:
    for each in list(_all):
        each.torn = each.torn or not each.lock.acquire(blocking=False)
        each.lock = threading.RLock()
