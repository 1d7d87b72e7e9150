"""A fixed text: the caller knows about what will be written."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import BeforeValidator, Field, PrivateAttr

from decodekit import Context, ParameterError, Plugin, Prefix, Tokenizer
from decodekit.text.tokenizer import TokenId
from decodekit.text.utf8 import utf8
from decodekit_guessers.ngram import Ids, continuation

__all__ = ["Fixed"]

_LONGEST = 16  # last tokens of the output that are searched for
_SHORTEST = 2
_MOST = 64  # tokens of a guess


def _text_or_tuple(value: Any) -> Any:
    if isinstance(value, str):
        utf8(value, "fixed")
    return tuple(value) if isinstance(value, list) else value


class Fixed(Plugin):
    """Guess that a given text is written, such as the file that is to be edited.

    The first guess is the beginning of the text. Later guesses continue it after the first place where the last tokens
    of the output occur: after a change the rest is found again.

    Args:
        fixed: the text, or its token ids.

    Source: OpenAI's ``prediction`` ("predicted outputs").
    Example: fixed = [0, 1, 2]

    Raises:
        ParameterError: a text, and the model has no tokenizer.
    """

    quick: ClassVar[bool] = True

    fixed: Annotated[
        Annotated[str, Field(min_length=1)] | Annotated[tuple[TokenId, ...], Field(min_length=1)],
        BeforeValidator(_text_or_tuple),
    ]
    _made: dict[str, Ids] = PrivateAttr(default_factory=dict)  # ids of the text, by the tokenizer's fingerprint

    def check(self, tokenizer: Tokenizer | None) -> None:
        """Refuse a text where there is no tokenizer."""
        self._ids(tokenizer)

    def guess(self, prefix: Prefix, ctx: Context) -> list[int]:
        """The tokens of the text that may follow; O(length of the text)."""
        ids, written = self._ids(ctx.tokenizer), np.asarray(ctx.output_ids, dtype=np.int64)
        step = len(written)
        if step < len(ids) and np.array_equal(ids[:step], written):
            return [int(token_id) for token_id in ids[step : step + _MOST]]
        return continuation(ids, written[-_LONGEST:], _LONGEST, _SHORTEST, _MOST)

    def _ids(self, tokenizer: Tokenizer | None) -> Ids:
        if not isinstance(self.fixed, str):
            return np.array(self.fixed, dtype=np.int64)
        if tokenizer is None:
            raise ParameterError("fixed has a text, and this adapter has no tokenizer; give token ids")
        key = tokenizer.fingerprint
        if key not in self._made:
            self._made[key] = np.array(tokenizer.encode(self.fixed), dtype=np.int64)
        return self._made[key]
