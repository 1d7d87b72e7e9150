"""The text of generated tokens: of their bytes, without those that end it, up to a stop string."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from decodekit.text.markup import reading
from decodekit.text.stream import TextStream
from decodekit.text.tokenizer import Tokenizer

__all__ = ["TokenText"]


class TokenText(TextStream):
    """A `TextStream` that takes token ids.

    Args:
        tokenizer: for the bytes of tokens, and for the control tokens that stop strings name; without one all tokens
            are empty.
        stop: the strings that end the text.
        ends: the ids that end the text; they add nothing to it.
    """

    def __init__(self, tokenizer: Tokenizer | None, stop: Sequence[str], ends: Collection[int]) -> None:
        readings = [reading(tokenizer, text) for text in stop] if tokenizer is not None else []
        super().__init__(stop, [parts for parts in readings if any(isinstance(part, int) for part in parts)])
        self._tokenizer = tokenizer
        self._ends = ends

    def take(self, token_id: int) -> str:
        """Take one token and return the text that is now certain. Sets `stopped` at a match."""
        if self._tokenizer is None or token_id in self._ends:
            return self.push(b"", token_id)
        return self.push(self._tokenizer.token_bytes(token_id) or b"", token_id)
