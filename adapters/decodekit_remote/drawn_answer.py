"""One answer that the server draws, read in the background, so that no answer waits for another to be taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from decodekit.model.drawn import Drawn

__all__ = ["DrawnAnswer"]


class DrawnAnswer:
    """Reads an answer to its end. A connection is given back as soon as the server has sent everything.

    Otherwise sequences that hold connections, and take their tokens together with others that wait for one, would wait
    for ever.

    Args:
        tokens: the answer.
    """

    def __init__(self, tokens: AsyncGenerator[Drawn, None]) -> None:
        self._read: asyncio.Queue[Drawn | Exception] = asyncio.Queue()
        self._task = asyncio.create_task(self._run(tokens))

    async def next(self) -> Drawn:
        """The next token. Raises what ended the answer."""
        found = await self._read.get()
        if isinstance(found, Exception):
            raise found
        return found

    async def aclose(self) -> None:
        """Stop the server by closing the connection."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, tokens: AsyncGenerator[Drawn, None]) -> None:
        try:
            async with aclosing(tokens):
                async for token in tokens:
                    self._read.put_nowait(token)
        except Exception as error:
            self._read.put_nowait(error)
