"""A fork copies no threads: an adapter that ran on several threads is refused in a forked process.

OpenMP keeps a pool of threads. In a forked process the pool's data exists and its threads do not, so the first
computation on several threads waits for ever (asgiref#194, pytorch#49555). It is refused before it starts.
"""

from __future__ import annotations

from decodekit.errors import AdapterError
from decodekit.fork import after_fork

__all__ = ["require_threads"]

_threaded: set[str] = set()  # adapters whose library ran on several threads in this process
_lost: set[str] = set()  # those that did so before this process was forked


def require_threads(adapter: str, threads: int) -> None:
    """Note that an adapter is about to compute on this many threads of this process.

    Args:
        adapter: its registered name; adapters of one name share a library and its threads.
        threads: how many. One thread needs no pool and works after a fork.

    Raises:
        AdapterError: the threads were lost in a fork.
    """
    if threads <= 1:
        return
    if adapter in _lost:
        raise AdapterError(
            f"adapter {adapter!r} ran on several threads before this process was forked, and a fork does not copy "
            "them: it would wait for ever. Start processes with multiprocessing.get_context('spawn') and build the "
            "adapter in each of them, or let it use one thread"
        )
    _threaded.add(adapter)


@after_fork
def _lose_threads() -> None:
    _lost.update(_threaded)
