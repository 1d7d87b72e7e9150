"""One stream that runs ahead of the draws, and is closed when a draw goes another way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any

from decodekit.errors import DecodekitError
from decodekit.model.prefix import Prefix
from decodekit_remote.dialect import Position, Reply

__all__ = ["Live"]

Read = Callable[[Any, int], Reply]
Keep = Callable[[Prefix, Position, Reply, int], Prefix | None]


class Live:
    """Reads a stream in the background.

    Args:
        events: the stream.
        read: an event's reply, given how many positions came before.
        keep: stores the answer of a prefix, and gives the prefix the next list is for; None when that is not known.
        prefix: what the first list is for.
        top: how many tokens each list shows.

    Attributes:
        tip: the prefix that the next list is for; None when nothing more will come.
    """

    def __init__(self, events: AsyncGenerator[Any, None], read: Read, keep: Keep, prefix: Prefix, top: int) -> None:
        self.tip: Prefix | None = prefix
        self.top = top
        self._start = len(prefix)
        self._begun = time.perf_counter()
        self._path = {prefix.digest}
        self.failure: DecodekitError | None = None
        self._events, self._read, self._keep = events, read, keep
        self._news = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.tip is None

    def worth(self, prefix: Prefix) -> tuple[int, float]:
        """How many of its answers led to a prefix that left it, and the seconds since it began."""
        return len(prefix) - self._start, time.perf_counter() - self._begun

    async def wait(self) -> None:
        """Until something came, or the stream ended."""
        if not self.ended:
            await self._news.wait()

    def leads_to(self, prefix: Prefix) -> bool:
        """Whether this prefix is on its way."""
        return prefix.digest in self._path

    def left_by(self, prefix: Prefix) -> bool:
        """Whether this prefix went along, and then another way."""
        return prefix.parent is not None and prefix.parent.digest in self._path and prefix.digest not in self._path

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
                    assert self.tip is not None
                    self.tip = self._keep(self.tip, position, reply, seen)
                    seen += 1
                    if self.tip is not None:
                        self._path.add(self.tip.digest)
                    if self.tip is None:
                        return
                self._pulse()
                if reply.finished or reply.cut:
                    return
        except DecodekitError as error:
            self.failure = error
        finally:
            self.tip = None
            await self._events.aclose()
            self._news.set()

    def _pulse(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
