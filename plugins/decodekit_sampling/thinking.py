"""A budget for thinking: after this many tokens inside a block, its end is forced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from decodekit import Choice, Context, Disclosure, Distribution, Plugin
from decodekit.plugin.traits import Kind
from decodekit.text.tokenizer_cache import cached_for
from decodekit_sampling.history import recent
from decodekit_sampling.marks import Marks
from decodekit_sampling.phrases import Phrase, ids_of, within_each

__all__ = ["Thinking", "ThinkingBudget"]


@dataclass(frozen=True, slots=True)
class Thinking:
    """The state of a `ThinkingBudget`.

    Args:
        phase: 'outside' a block; 'inside' one; 'waiting' for the rest of a character after the budget is used up;
            'forcing'.
        count: tokens since the block began, or tokens forced so far.
        begun: the end of the block's text, as far as it may be the start of the end mark.
    """

    phase: Literal["outside", "inside", "waiting", "forcing"]
    count: int = 0
    begun: str = ""


class ThinkingBudget(Plugin):
    """Allow this many tokens between ``start`` and ``end``; then force ``forced``, which is ``end`` unless given.

    A block may begin in the prompt; its tokens there count. Each block has the whole budget. A mark that is a text
    is found by its bytes, however it is split into tokens, or as the control token of this name; what is forced is
    split as the tokenizer splits it.

    Formula: -inf for all but the next token of forced, once thinking_budget tokens have followed start
    Edges: 0 forces the end directly after the start. Where the budget ends inside a character, forcing waits until the
    character is complete (if the tokenizer gives the bytes; without a tokenizer it does not wait).
    Source: llama.cpp's reasoning budget.
    Engines: llama.cpp, vLLM, SGLang and koboldcpp. llama.cpp recognises start and end by counting matching tokens, and
    checks the last token alone for a complete character. Here the history is searched for both, so a mark whose start
    repeats inside it is found, and a character may extend over several tokens.
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
        return Disclosure(None, self._forced(ctx))

    def initial(self, ctx: Context) -> Thinking:
        """The state after the tokens so far: the tokens of an open block count."""
        marks, history = self._marks(ctx), recent(ctx).tolist()
        opened = marks.last_opened(history)
        if opened is None:
            return Thinking("outside")
        at, begun = opened
        for size in range(len(history) - at + 1):
            ended, begun = marks.ends(begun, history[max(at, at + size - marks.window) : at + size])
            if ended:
                return Thinking("outside")
        return self._spent(Thinking("inside", len(history) - at, begun), history[-4:], ctx)

    def __call__(self, dist: Distribution, ctx: Context, state: Thinking) -> Distribution:
        """Exact; where a token is forced it must be disclosed."""
        for field, phrase in (("start", self.start), ("end", self.end), ("forced", self.forced)):
            within_each(dist, (phrase,), field)
        return dist.keep([self._forced(ctx)[state.count]]) if state.phase == "forcing" else dist

    def advance(self, state: Thinking, choice: Choice, ctx: Context) -> Thinking:
        """The state after the chosen token."""
        marks, count = self._marks(ctx), state.count + 1
        if state.phase == "forcing":
            return replace(state, count=count) if count < len(self._forced(ctx)) else Thinking("outside")
        last = (*recent(ctx, window=max(marks.window, 4)).tolist(), choice.token_id)
        if state.phase == "outside":
            begun = marks.begins(last, ctx)
            if begun is None:
                return state
            ended, begun = marks.ends(begun, ())
            return state if ended else self._spent(Thinking("inside", 0, begun), (), ctx)
        ended, begun = marks.ends(state.begun, last[-count:])
        return Thinking("outside") if ended else self._spent(replace(state, count=count, begun=begun), last[-4:], ctx)

    def _spent(self, state: Thinking, last: Sequence[int], ctx: Context) -> Thinking:
        """The same state, or the next one when the budget is used up."""
        if state.count < self.thinking_budget:
            return state
        if ctx.tokenizer is None or state.count == 0:
            return Thinking("forcing")
        data = b"".join(ctx.tokenizer.token_bytes(token) or b"" for token in last[-state.count :])
        return replace(state, phase="waiting") if _cut_short(data) else Thinking("forcing")

    def _marks(self, ctx: Context) -> Marks:
        return cached_for(
            ctx.tokenizer, (ThinkingBudget, self.start, self.end), lambda: Marks(self.start, self.end, ctx)
        )

    def _forced(self, ctx: Context) -> tuple[int, ...]:
        phrase = self.end if self.forced is None else self.forced
        return cached_for(ctx.tokenizer, (ThinkingBudget, phrase), lambda: ids_of(phrase, ctx))


def _cut_short(data: bytes) -> bool:
    """Whether the text ends inside a UTF-8 character."""
    for back in range(1, min(len(data), 4) + 1):
        byte = data[-back]
        if byte & 0xC0 != 0x80:
            return back < (4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1)
    return False
