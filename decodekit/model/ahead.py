"""Asking an adapter in two parts: the question is begun, its caller does something else, and takes the answers.

So a step is recorded and handed out while the model computes the next one. A worker thread calls the adapter. To begin
and to end takes about 0.1 ms, which only pays where a call takes longer, outside the interpreter's lock, on a core that
is free; an adapter says so by a true attribute ``overlaps``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress

from decodekit.distribution.disclosure import Disclosure
from decodekit.errors import AdapterError
from decodekit.model.adapter import Adapter, Answer, AsyncAdapter
from decodekit.model.asking import is_async, rounds_of
from decodekit.model.loops import OutOfTime, running
from decodekit.model.prefix import Prefix
from decodekit.threads import Bell, Job

__all__ = ["Ahead", "AheadInTask", "ahead_pays"]

_LONG = 0.002  # seconds: a call that takes less is not worth a change of threads


def ahead_pays(adapter: Adapter | AsyncAdapter) -> bool:
    """Whether it saves time to begin a question before its answers are needed."""
    overlaps = getattr(adapter, "overlaps", False) is True and not is_async(adapter)
    return overlaps and rounds_of(adapter).calls_take >= _LONG  # type: ignore[arg-type]


class Ahead:
    """A question of a caller in a thread. The arguments are those of `decodekit.model.asking.ask`."""

    def __init__(
        self,
        adapter: Adapter,
        prefixes: Sequence[Prefix],
        needs: Sequence[Disclosure],
        until: float | None,
        priority: int,
        caller: object = None,
    ) -> None:
        self._rounds, self._until, self._process = rounds_of(adapter), until, os.getpid()
        self._own = self._rounds.question(adapter, prefixes, needs, priority, caller=caller)
        self._ended = Bell()
        self._own.answered = self._ended.ring
        self._job: Job | None = None

    def begin(self) -> None:
        """Ask. Returns when the thread that asks leaves the interpreter to others, as far as it does, or in time."""
        begun = self._own.begun = Bell()
        self._rounds.add(self._own)
        self._job = self._rounds.drive_aside(self._own, self._until)
        begun.heard(self._seconds_left())

    def answers(self) -> list[Answer]:
        """Wait for the answers. Raises as `decodekit.model.asking.ask`."""
        if self._process != os.getpid():
            raise AdapterError("this process is a fork, and the model was asked before it: start the call again here")
        if not self._own.done and not self._ended.heard(self._seconds_left()):
            raise OutOfTime
        return self._own.result()

    def give_up(self) -> None:
        """Forget the question. A call that has begun for it goes on; `decodekit.model.asking.drain` waits for it."""
        self._rounds.give_up(self._own)
        if self._job is not None and self._process == os.getpid():
            self._job.give_up()

    def _seconds_left(self) -> float | None:
        return None if self._until is None else max(0.0, self._until - time.monotonic())


class AheadInTask:
    """A question of a caller in a task of an event loop. The arguments are those of `decodekit.model.asking.ask`."""

    def __init__(
        self,
        adapter: Adapter,
        prefixes: Sequence[Prefix],
        needs: Sequence[Disclosure],
        until: float | None,
        priority: int,
        tokens: int = 0,
        caller: object = None,
    ) -> None:
        self._rounds, self._until, self._loop = rounds_of(adapter), until, running()
        self._ended = self._loop.signal()
        self._own = self._rounds.question(adapter, prefixes, needs, priority, tokens, caller)
        self._own.home, self._own.answered = self._loop.key, self._ended.ring

    async def begin(self) -> None:
        """As `Ahead.begin`. Tasks that were answered together ask together before one of them goes on."""
        begun = self._own.begun = self._loop.signal()
        self._ask()
        with suppress(OutOfTime):  # `answers` raises it
            await begun.wait(self._until)

    async def answers(self) -> list[Answer]:
        """Wait for the answers. Asks, if it was not begun."""
        if self._own.begun is None:
            self._ask()
        await self._ended.wait(self._until)
        return self._own.result()

    def give_up(self) -> None:
        """Forget the question: its answers are thrown away."""
        self._rounds.give_up(self._own)

    def _ask(self) -> None:
        self._rounds.add(self._own)
        self._rounds.serve_tasks_of(self._loop)
