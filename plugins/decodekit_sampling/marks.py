"""The marks at the start and the end of a block: token ids, or texts that are found by their bytes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from decodekit import Context
from decodekit.text.markup import Spelling
from decodekit_sampling.phrases import tokenizer_of
from decodekit_sampling.texts import tail

__all__ = ["Marks"]

_Phrase = str | tuple[int, ...]


class Marks:
    """Where a block begins and where it ends.

    A token may contain more than a mark. The text after the start mark in the same token belongs to the block. Of this
    begun text, only the part that may still become the end mark is kept.

    Args:
        start: the mark that begins the block.
        end: the mark that ends it.
        ctx: holds the tokenizer, which texts need.
    """

    def __init__(self, start: _Phrase, end: _Phrase, ctx: Context) -> None:
        texts = [mark for mark in (start, end) if isinstance(mark, str)]
        self._spelling = Spelling(tokenizer_of(ctx, f"the text {texts[0]!r}"), texts) if texts else None
        self._start_ids, self._start = self._of(start)
        self._end_ids, self._end = self._of(end)
        self._kept = max(map(len, self._end), default=1) - 1
        self.window = max(len(self._start_ids), len(self._end_ids), 1)
        """The minimum number of tokens that `ends` needs."""

    def last_opened(self, history: Sequence[int]) -> tuple[int, str] | None:
        """Where the last block begins: the index of its first token, and the text begun before it; else None."""
        if self._start_ids:
            size = len(self._start_ids)
            places = range(len(history) - size, -1, -1)
            at = next((at for at in places if tuple(history[at : at + size]) == self._start_ids), None)
            return None if at is None else (at + size, "")
        texts = [self._text(token) for token in history]
        text, ends = "".join(texts), list(accumulate(map(len, texts)))
        closes = max((at + len(form) for form in self._start if (at := text.rfind(form)) >= 0), default=0)
        last = bisect_left(ends, closes)
        return (last + 1, text[closes : ends[last]]) if closes else None

    def begins(self, last: Sequence[int], ctx: Context) -> str | None:
        """The text begun after the start mark that the last token completes; None where it completes none.

        Args:
            last: the last tokens, as many as `window` or all.
            ctx: the ids before the last token.
        """
        if self._start_ids:
            return "" if tuple(last[-len(self._start_ids) :]) == self._start_ids else None
        assert self._spelling is not None
        word = self._text(last[-1])
        written = tail(ctx, "both", self._spelling, max(map(len, self._start)) - 1) + word
        closes = max((at + len(form) for form in self._start if (at := written.rfind(form)) >= 0), default=0)
        return written[closes:] if closes > len(written) - len(word) else None

    def ends(self, begun: str, block: Sequence[int]) -> tuple[bool, str]:
        """Whether the block ends with its last token; and the text begun after it.

        Args:
            begun: the text begun before the last token.
            block: the last tokens of the block, as many as `window` or all; none for the mark that began it.
        """
        if self._end_ids:
            return tuple(block[-len(self._end_ids) :]) == self._end_ids, ""
        text = begun + (self._text(block[-1]) if block else "")
        return any(form in text for form in self._end), text[max(0, len(text) - self._kept) :]

    def _of(self, mark: _Phrase) -> tuple[tuple[int, ...], tuple[str, ...]]:
        """The ids of a mark, or the strings that stand for its text."""
        if isinstance(mark, tuple):
            return mark, ()
        assert self._spelling is not None
        return (), self._spelling.forms[mark]

    def _text(self, token: int) -> str:
        assert self._spelling is not None
        return self._spelling.of(token)
