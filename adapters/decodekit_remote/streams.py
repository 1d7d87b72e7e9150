"""Streams that run ahead of the draws: when one pays, who follows which, and when they are closed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import Disclosure
from decodekit.errors import DistributionError
from decodekit.log import get_logger
from decodekit.model.prefix import Prefix
from decodekit_remote.dialect import Position, Reply
from decodekit_remote.keeping import Answers
from decodekit_remote.live import Live
from decodekit_remote.pace import Pace
from decodekit_remote.probing import read_event
from decodekit_remote.refusals import Refused
from decodekit_remote.server import Server

__all__ = ["Row", "Streams"]

_LONGEST_STREAM = 64  # tokens a stream may run


@dataclass(frozen=True, slots=True)
class Row:
    """A prefix, and what is wanted of the distribution after it."""

    prefix: Prefix
    want: Disclosure

    @property
    def plain(self) -> bool:
        """Whether the likeliest tokens will do."""
        return self.want.kind == "named" and not self.want.ids


class Streams:
    """The streams of one event loop.

    Args:
        server: whom to ask.
        answers: keeps what they bring.
        pace: knows whether a stream costs less than a question.
        most: how many sequences the server and we keep going at a time; a stream nobody follows makes way beyond that.
        always: stream whatever it costs; None for never, False where it pays.
    """

    def __init__(self, server: Server, answers: Answers, pace: Pace, *, most: int, always: bool | None) -> None:
        self._server, self._answers, self._pace = server, answers, pace
        self.most = most
        self._streaming, self._adapts = bool(always), always is False
        self._loop: asyncio.AbstractEventLoop | None = None
        self.lives: list[Live] = []
        self.crowded = False

    def enter_loop(self) -> None:
        """Forget the streams of another event loop: they ended with it."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self.lives = loop, []

    async def aclose(self) -> None:
        """Close all."""
        lives, self.lives = self.lives, []
        for live in lives:
            await live.aclose()

    def led(self, row: Row) -> Live | None:
        """The stream whose next list is for this prefix."""
        return next((live for live in self.lives if live.tip == row.prefix and (row.want.top or 0) <= live.top), None)

    def pays(self, prefix: Prefix) -> bool:
        """Whether to open a stream for a prefix."""
        if (
            not self._server.capabilities.stream
            or self._answers.has_hole(prefix)
            or self._server.room(prefix, self._pace.length) < 2 - self._streaming
        ):
            return False
        if self.crowded or len(self.lives) >= self.most:
            return False
        return self._streaming or (self._adapts and self._pace.streams)

    def open(self, prefix: Prefix, top: int) -> Live:
        """A stream that begins with the list for a prefix."""
        room = self._server.room(prefix, _LONGEST_STREAM)
        question = replace(self._server.question([prefix], top, tokens=room), stream=True)
        path, body = self._server.dialect.request(question)
        where = f"{self._server.transport.base_url}{path}"

        def keep(at: Prefix, position: Position, reply: Reply, place: int) -> Prefix | None:
            return self._answers.keep(at, position, question, place, reply)

        live = Live(
            self._server.transport.events(path, body),
            partial(read_event, self._server.dialect, where),
            keep,
            prefix,
            top,
        )
        self.lives.append(live)
        return live

    async def follow(self, live: Live, row: Row) -> Distribution | None:
        """The stream's answer to this prefix; None when it ended without."""
        try:
            async with asyncio.timeout(self._server.transport.deadline):
                while live.tip == row.prefix:
                    await live.wait()
        except TimeoutError:
            await self.end(live)
            raise self._server.transport.error("", f"sent nothing for {self._server.transport.deadline:g} s") from None
        kept = self._answers.fresh(row.prefix)
        if kept is not None and kept.covers(row.want):
            return kept.answer
        if isinstance(live.failure, DistributionError):
            raise live.failure
        if isinstance(live.failure, Refused) and live.failure.wait is not None:
            await asyncio.sleep(min(live.failure.wait, self._server.transport.deadline))
        if live.failure is not None:
            get_logger().info("a stream broke off", error=str(live.failure))
        return None

    async def end(self, live: Live) -> None:
        """Close one."""
        if live in self.lives:
            self.lives.remove(live)
            await live.aclose()

    async def drop_strays(self, rows: Mapping[bytes, Row]) -> None:
        """Close the streams that nobody here follows and that were left behind, and as many as hold a needed place."""
        idle = [live for live in self.lives if not any(live.leads_to(row.prefix) for row in rows.values())]
        room = self.most - len(rows)
        for live in idle:
            leaving = next((row.prefix for row in rows.values() if live.left_by(row.prefix)), None)
            if leaving is not None:
                self._pace.followed(*live.worth(leaving))
            if live.ended or len(self.lives) > room or leaving is not None:
                await self.end(live)
