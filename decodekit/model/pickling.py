"""What a process holds of a model cannot be sent to another one: pickle and copy are refused with the way out."""

from __future__ import annotations

from typing import NoReturn, SupportsIndex

from decodekit.errors import NotPicklable

__all__ = ["OfOneProcess"]


class OfOneProcess:
    """A base of classes that hold a model, a connection, threads or locks of this process.

    Without it, pickle names a lock somewhere inside, and a shallow copy shares what either of the two may close.
    """

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        kind = type(self).__name__
        raise NotPicklable(
            f"{kind} is not pickled or copied: it holds what only this process has (a model, connections, threads). In "
            "a process pool open a session in each worker, ProcessPoolExecutor(initializer=function), and send prompts "
            "and results, which can be pickled; threads may share one session"
        )
