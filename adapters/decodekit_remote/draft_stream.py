"""One stream: a greedy draft that the server sends token by token, closed at the first token that is not accepted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any

from decodekit.errors import DecodekitError
from decodekit.model.prefix import Prefix
from decodekit_remote.dialect import Position, Reply

__all__ = ["DraftStream"]

Read = Callable[[Any, int], Reply]
Keep = Callable[[Prefix, Position, Reply, int], Prefix | None]


class DraftStream:
    """Reads a stream in the background.

    Args:
        events: the stream.
        read: an event's reply, given how many positions came before.
        keep: stores the answer of a prefix, and returns the prefix of the next list; None when that is not known.
        prefix: the prefix of the first list.
        top: how many tokens each list shows.

    Attributes:
        next_prefix: the prefix of the next list; None when nothing more will come.
        failure: the error that ended the stream, or None.
        readers: how many questions wait for its next list.
    """

    def __init__(self, events: AsyncGenerator[Any, None], read: Read, keep: Keep, prefix: Prefix, top: int) -> None:
        self.next_prefix: Prefix | None = prefix
        self.top = top
        self.readers = 0
        self._start = len(prefix)
        self._begun = time.perf_counter()
        self._prefixes = {prefix.digest}
        self.failure: DecodekitError | None = None
        self._events, self._read, self._keep = events, read, keep
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.next_prefix is None

    def used_up_to(self, prefix: Prefix) -> tuple[int, float]:
        """How many of its lists were used up to a prefix that differs from it, and the seconds since it began."""
        return len(prefix) - self._start, time.perf_counter() - self._begun

    async def wait(self) -> None:
        """Wait until something came, or the stream ended."""
        if not self.ended:
            await self._changed.wait()

    def contains(self, prefix: Prefix) -> bool:
        """Whether this prefix has a list of this stream, or is the next."""
        return prefix.digest in self._prefixes

    def abandoned_by(self, prefix: Prefix) -> bool:
        """Whether all of this prefix except its last token was drafted: the draw did not accept the drafted token."""
        return (
            prefix.parent is not None and prefix.parent.digest in self._prefixes and prefix.digest not in self._prefixes
        )

    async def aclose(self) -> None:
        """Stop the server by closing the connection."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        seen = 0
        try:
            async for data in self._events:
                reply = self._read(data, seen)
                for position in reply.positions:
                    assert self.next_prefix is not None
                    self.next_prefix = self._keep(self.next_prefix, position, reply, seen)
                    seen += 1
                    if self.next_prefix is not None:
                        self._prefixes.add(self.next_prefix.digest)
                    if self.next_prefix is None:
                        return
                self._notify()
                if reply.finished or reply.cut:
                    return
        except DecodekitError as error:
            self.failure = error
        finally:
            self.next_prefix = None
            try:
                await self._events.aclose()
            finally:  # also when it is cancelled a second time: somebody may wait
                self._changed.set()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
