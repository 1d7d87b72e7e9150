"""A budget for thinking: after so many tokens within a block, its end is written for the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from decodekit import Choice, Context, Disclosure, Distribution, Plugin
from decodekit.plugin.traits import Kind
from decodekit_sampling.history import recent
from decodekit_sampling.phrases import Phrase, ids_of, once

__all__ = ["Thinking", "ThinkingBudget"]


@dataclass(frozen=True, slots=True)
class Thinking:
    """Where a `ThinkingBudget` stands.

    Args:
        phase: 'outside' a block; 'inside' one; 'waiting' for the rest of a character, the budget spent; 'forcing'.
        count: tokens since the block began, or tokens forced so far.
    """

    phase: Literal["outside", "inside", "waiting", "forcing"]
    count: int = 0


@dataclass(frozen=True, slots=True)
class _Marks:
    start: tuple[int, ...]
    end: tuple[int, ...]
    forced: tuple[int, ...]


class ThinkingBudget(Plugin):
    """Allow so many tokens between ``start`` and ``end``; then force ``forced``, which is ``end`` unless given.

    The block may begin in the prompt, whose tokens in it count. Each block has the whole budget.

    Formula: -inf for all but the next token of forced, once thinking_budget tokens have followed start
    Edges: 0 lets the end follow the start at once. Where the budget ends inside a character, forcing waits until the
    character is complete (as far as the tokenizer tells; without one it does not wait).
    Source: llama.cpp's reasoning budget.
    Engines: llama.cpp, vLLM, SGLang and koboldcpp. llama.cpp recognises start and end by counting tokens that fit, and
    takes every last token for itself when it asks whether a character is complete; here both are looked up in the ids,
    so a mark that begins with a part of itself is found, and a character is as long as its bytes say.
    Example: thinking_budget = 1, start = [3], end = [2]

    Raises:
        EmptySupport: the token to be forced has no probability.
    """

    kind: ClassVar[Kind] = "mask"

    thinking_budget: Annotated[int, Field(ge=0, le=10_000_000)]
    start: Phrase = "<think>"
    end: Phrase = "</think>"
    forced: Phrase | None = None

    def needs(self, ctx: Context) -> Disclosure:
        """The tokens that may be forced."""
        return Disclosure(None, self._marks(ctx).forced)

    def initial(self, ctx: Context) -> Thinking:
        """Reads what is there: a block that is open counts as far as it goes."""
        marks = self._marks(ctx)
        history = recent(ctx).tolist()
        begins = _after_last(history, marks.start)
        if begins is None or _after_last(history[begins:], marks.end) is not None:
            return Thinking("outside")
        return self._spent(Thinking("inside", len(history) - begins), history[-4:], ctx)

    def __call__(self, dist: Distribution, ctx: Context, state: Thinking) -> Distribution:
        """Exact; where a token is forced it must be disclosed."""
        return dist.keep([self._marks(ctx).forced[state.count]]) if state.phase == "forcing" else dist

    def advance(self, state: Thinking, choice: Choice, ctx: Context) -> Thinking:
        """One token further."""
        marks, count = self._marks(ctx), state.count + 1
        if state.phase == "forcing":
            return replace(state, count=count) if count < len(marks.forced) else Thinking("outside")
        longest = max(len(marks.start), len(marks.end), 4)
        last = (*recent(ctx, window=longest).tolist(), choice.token_id)
        if state.phase == "outside":
            begins = last[-len(marks.start) :] == marks.start
            return self._spent(Thinking("inside"), (), ctx) if begins else state
        if count >= len(marks.end) and last[-len(marks.end) :] == marks.end:
            return Thinking("outside")
        return self._spent(replace(state, count=count), last[-4:], ctx)

    def _spent(self, state: Thinking, last: Sequence[int], ctx: Context) -> Thinking:
        """The same state, or the one that follows when the budget is spent."""
        if state.count < self.thinking_budget:
            return state
        if ctx.tokenizer is None or state.count == 0:
            return Thinking("forcing")
        data = b"".join(ctx.tokenizer.token_bytes(token) or b"" for token in last[-state.count :])
        return replace(state, phase="waiting") if _cut_short(data) else Thinking("forcing")

    def _marks(self, ctx: Context) -> _Marks:
        phrases = self.start, self.end, self.end if self.forced is None else self.forced
        return once(
            ctx.tokenizer, (ThinkingBudget, phrases), lambda: _Marks(*(ids_of(phrase, ctx) for phrase in phrases))
        )


def _after_last(ids: Sequence[int], mark: tuple[int, ...]) -> int | None:
    """The position after the last occurrence of the mark, or None."""
    for at in range(len(ids) - len(mark), -1, -1):
        if ids[at] == mark[0] and tuple(ids[at : at + len(mark)]) == mark:
            return at + len(mark)
    return None


def _cut_short(data: bytes) -> bool:
    """Whether the text ends inside a UTF-8 character."""
    for back in range(1, min(len(data), 4) + 1):
        byte = data[-back]
        if byte & 0xC0 != 0x80:
            return back < (4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1)
    return False
