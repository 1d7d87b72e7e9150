"""The running streams: when to open one, which answers a prefix, and when they are closed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import CHEAP, Disclosure
from decodekit.errors import DistributionError
from decodekit.model.prefix import Prefix
from decodekit_remote.answers import Answers
from decodekit_remote.dialect import Position, Reply
from decodekit_remote.draft_length import DraftLength
from decodekit_remote.draft_stream import DraftStream
from decodekit_remote.reading import read_event
from decodekit_remote.refusals import Refused
from decodekit_remote.server import Server

__all__ = ["Streams", "Wanted"]

_LONGEST_STREAM = 64  # tokens a stream may run


@dataclass(frozen=True, slots=True)
class Wanted:
    """A prefix, what is requested of the distribution after it, and how little would do."""

    prefix: Prefix
    disclosure: Disclosure
    least: Disclosure = CHEAP

    @property
    def plain(self) -> bool:
        """Whether the most likely tokens are enough."""
        return self.disclosure.kind == "named" and not self.disclosure.ids


class Streams:
    """The running streams, each in the event loop in which it was opened.

    Args:
        server: the server to ask.
        answers: stores their answers.
        draft_length: knows whether a stream is faster than a request.
        most: how many sequences the server and this adapter run at a time; above this, a stream that no prefix of the
            call uses is closed.
        always: True to stream always, False only where that is faster, None for never.
    """

    def __init__(
        self, server: Server, answers: Answers, draft_length: DraftLength, *, most: int, always: bool | None
    ) -> None:
        self._server, self._answers, self._draft_length = server, answers, draft_length
        self.most = most
        self._streaming, self._adapts = bool(always), always is False
        self._running: dict[asyncio.AbstractEventLoop, list[DraftStream]] = {}
        self.is_full = False

    @property
    def running(self) -> list[DraftStream]:
        """The streams of this event loop. Those of another end with it."""
        loop = asyncio.get_running_loop()
        if loop not in self._running:
            for gone in [each for each in list(self._running) if each.is_closed()]:
                self._running.pop(gone, None)
            self._running[loop] = []
        return self._running[loop]

    @property
    def count(self) -> int:
        """How many there are, in all event loops."""
        return sum(map(len, list(self._running.values())))

    async def aclose(self) -> None:
        """Close those of this event loop."""
        for stream in self._running.pop(asyncio.get_running_loop(), []):
            await stream.aclose()

    def next_for(self, wanted: Wanted) -> DraftStream | None:
        """The stream whose next list is for this prefix."""
        return next(
            (
                stream
                for stream in self.running
                if stream.next_prefix == wanted.prefix and (wanted.disclosure.top or 0) <= stream.top
            ),
            None,
        )

    def should_open(self, prefix: Prefix) -> bool:
        """Whether to open a stream for a prefix."""
        if (
            not self._server.capabilities.stream
            or self._answers.is_unlisted(prefix)
            or self._server.begun(prefix) is not None
            or self._server.room(prefix, self._draft_length.length) < 2 - self._streaming
        ):
            return False
        if self.is_full or len(self.running) >= self.most:
            return False
        return self._streaming or (self._adapts and self._draft_length.stream_is_faster)

    def open(self, prefix: Prefix, top: int) -> DraftStream:
        """A stream that begins with the list for a prefix."""
        room = self._server.room(prefix, _LONGEST_STREAM)
        question = replace(self._server.question([prefix], top, tokens=room), stream=True)
        path, body = self._server.dialect.request(question)
        where = f"{self._server.transport.base_url}{path}"

        def keep(at: Prefix, position: Position, reply: Reply, place: int) -> Prefix | None:
            return self._answers.keep(at, position, question, place, reply)

        stream = DraftStream(
            self._server.transport.events(path, body),
            partial(read_event, self._server.dialect, where, clean=self._server.transport.redaction.text),
            keep,
            prefix,
            top,
        )
        self.running.append(stream)
        return stream

    async def read(self, stream: DraftStream, wanted: Wanted) -> Distribution | None:
        """The stream's answer to this prefix; None when it ended without. The last reader that is cancelled ends it."""
        stream.readers += 1
        try:
            async with asyncio.timeout(self._server.transport.deadline):
                while stream.next_prefix == wanted.prefix:
                    await stream.wait()
        except TimeoutError:
            await self.end(stream)
            raise self._server.transport.error("", f"sent nothing for {self._server.transport.deadline:g} s") from None
        except asyncio.CancelledError:
            if stream.readers == 1:
                await self.end(stream)
            raise
        finally:
            stream.readers -= 1
        kept = self._answers.fresh(wanted.prefix)
        if kept is not None and (kept.covers(wanted.disclosure) or (kept.tellable and kept.covers(wanted.least))):
            return kept.answer
        if isinstance(stream.failure, DistributionError):
            raise stream.failure
        if isinstance(stream.failure, Refused) and stream.failure.wait is not None:
            await asyncio.sleep(min(stream.failure.wait, self._server.transport.deadline))
        if stream.failure is not None:
            self._server.transport.redaction.log("info", "a stream was interrupted", error=str(stream.failure))
        return None

    async def end(self, stream: DraftStream) -> None:
        """Close one."""
        if stream in self.running:
            self.running.remove(stream)
            await stream.aclose()

    async def close_abandoned(self, by_digest: Mapping[bytes, Wanted]) -> None:
        """Close the streams whose next token was not accepted, and unused ones whose slots are needed.

        A stream that another call waits for is used. The prefixes that a stream serves need no other slot.
        """
        prefixes = [wanted.prefix for wanted in by_digest.values()]
        served = [prefix for prefix in prefixes if any(stream.contains(prefix) for stream in self.running)]
        idle = [stream for stream in self.running if not stream.readers and not any(map(stream.contains, served))]
        room = self.most - (len(prefixes) - len(served))
        for stream in idle:
            leaving = next(filter(stream.abandoned_by, prefixes), None)
            if leaving is not None:
                self._draft_length.observe_stream(*stream.used_up_to(leaving))
            if stream.ended or len(self.running) > room or leaving is not None:
                await self.end(stream)
