"""Tokens that a provider draws: what an adapter answers in place of distributions, and who asks it.

Most hosted APIs cannot continue a given prefix, so their distributions after drawn tokens cannot be asked for. They
draw themselves. docs/decisions/0025-the-provider-draws.md says why this is a second method and what is recorded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from decodekit.distribution import Distribution, Schedule
from decodekit.errors import DecodekitError
from decodekit.model.adapter import Adapter, Answer, AsyncAdapter
from decodekit.model.asking import BlockingAdapter, raise_typed
from decodekit.model.asking_from_task import awaited
from decodekit.model.loops import OutOfTime, running
from decodekit.model.prefix import Prefix
from decodekit.text.tool_call import ToolCall

__all__ = [
    "CallsBegun",
    "Drawing",
    "Drawn",
    "DrawnEnd",
    "DrawnToken",
    "Ending",
    "Taken",
    "close_drawing",
    "close_drawing_from_task",
    "draw",
    "draw_from_task",
]

Ending = Literal["stop", "length", "context", "tool_calls"]


@dataclass(frozen=True, slots=True)
class DrawnToken:
    """A token that the provider drew after a prefix.

    Args:
        token_id: the token.
        shown: the list of logprobs that came with it; None where the provider gives none.
        ends: why the provider's answer ends after this token; None where it goes on, or where a `DrawnEnd` says so.
        schedule: for the record.
        counted: whether it is one token of the provider. A piece of text is not known to be one.
        prompt_tokens, cached_tokens: as for `DrawnEnd`, as far as they are known when it comes.
    """

    token_id: int
    shown: Distribution | None = None
    ends: Ending | None = None
    schedule: Schedule | None = None
    counted: bool = True
    prompt_tokens: int | None = None
    cached_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class DrawnEnd:
    """The provider's answer has ended.

    Args:
        reason: why.
        prompt_tokens, completion_tokens, cached_tokens: as the provider counts them; None where it does not say.
        calls: of tools, in the answer.
    """

    reason: Ending
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class CallsBegun:
    """The provider's answer has begun to call tools. Calls have no tokens here; the answer goes on after its prefix.

    Args:
        so_far: the calls that have come until now, for an answer that does not come to its end.
    """

    so_far: Callable[[], tuple[ToolCall, ...]]


Drawn = DrawnToken | CallsBegun | DrawnEnd
"""One piece of an answer."""

Taken = Answer | Drawn
"""What a run takes for a prefix: a distribution to draw from, what was drawn, or an error."""


class Drawing(Protocol):
    """The answers of one run that a provider draws. An adapter makes it, by its method ``drawing``."""

    @property
    def described(self) -> Mapping[str, Any]:
        """What the provider is asked for, for the record: plain JSON types."""
        ...

    async def adraw(self, prefixes: Sequence[Prefix]) -> Sequence[Drawn | DecodekitError]:
        """The next token after each prefix: a prompt, or one that went on with the token drawn before.

        All sequences of the run that go on are named in each call, always in the same order; answers of others are
        closed. Equal prefixes are different sequences.
        """
        ...

    async def aclose(self) -> None:
        """Close what is still open. Twice does nothing."""
        ...


def draw(adapter: Adapter, drawing: Drawing, prefixes: Sequence[Prefix], until: float | None) -> Sequence[Taken]:
    """Ask for the next tokens, until a time on the clock of ``time.monotonic``.

    Raises:
        AdapterError: the adapter cannot work any more.
        OutOfTime: there was no answer before ``until``.
    """
    assert isinstance(adapter, BlockingAdapter)
    try:
        return adapter.wait(lambda: drawing.adraw(prefixes), until)
    except OutOfTime:
        raise
    except Exception as error:
        raise_typed(error, adapter.info.name)


async def draw_from_task(
    adapter: Adapter | AsyncAdapter, drawing: Drawing, prefixes: Sequence[Prefix], until: float | None
) -> Sequence[Taken]:
    """As `draw`, from a task of any event loop."""
    try:
        return await awaited(adapter, lambda: drawing.adraw(prefixes), until)  # type: ignore[arg-type]
    except OutOfTime:
        raise
    except Exception as error:
        raise_typed(error, adapter.info.name)


def close_drawing(adapter: Adapter, drawing: Drawing | None) -> None:
    """Close what a run left open, unless the adapter was closed meanwhile, or the process ends: its loop has ended."""
    if drawing is not None and isinstance(adapter, BlockingAdapter) and adapter.is_running:
        adapter.wait(drawing.aclose, time.monotonic() + _PATIENCE)


async def close_drawing_from_task(adapter: Adapter | AsyncAdapter, drawing: Drawing | None) -> None:
    """As `close_drawing`, from a task, to the end if it is cancelled meanwhile."""
    if drawing is not None:
        closing = drawing.aclose
        await running().to_the_end(lambda: awaited(adapter, closing))  # type: ignore[arg-type]


_PATIENCE = 5.0
"""Seconds; closing a connection takes less."""
