"""vLLM's bad words: the phrases it searches for, in the output alone."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from decodekit import Context, Disclosure, Distribution, ParameterError, Plugin
from decodekit.text.base import own_ids
from decodekit.text.tokenizer_cache import cached_for
from decodekit_sampling.history import named, recent
from decodekit_sampling.phrases import Text, tokenizer_of

__all__ = ["VllmBadWords"]


class VllmBadWords(Plugin):
    """Ban the last token of a text whenever its other tokens were the last of the output.

    A text is searched for as the tokenizer encodes it without leading spaces, and also with one space before it if that
    gives another first token and the same number of tokens. Other tokenisations, and phrases that begin in the prompt,
    are not found; `bad_words` finds them.

    Formula: -inf where i ends a phrase whose other tokens are the last of the output
    Edges: a text of one token is banned always; markup in a text means the control token.
    Source: vLLM 0.33.0 ``SamplingParams.update_from_tokenizer`` and ``v1/sample/ops/bad_words.py``.
    Engines: vLLM, as ``bad_words``.
    Example: vllm_bad_words = ["b"]

    Raises:
        ParameterError: there is no tokenizer, or a text has no tokens.
        EmptySupport: every token that had probability is banned.
    """

    vllm_bad_words: Annotated[tuple[Text, ...], Field(strict=False, min_length=1, max_length=100_000)]

    def needs(self, ctx: Context) -> Disclosure:
        """The tokens that are banned now."""
        return named(self._banned(ctx))

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact wherever these tokens are disclosed."""
        return dist.add(self._banned(ctx), -math.inf)

    def _banned(self, ctx: Context) -> NDArray[np.int64]:
        phrases = cached_for(ctx.tokenizer, (VllmBadWords, self.vllm_bad_words), lambda: self._phrases(ctx))
        output = tuple(recent(ctx, "output", max(map(len, phrases))).tolist())
        due = [ids[-1] for ids in phrases if len(ids) == 1 or output[1 - len(ids) :] == ids[:-1]]
        return np.unique(np.array(due, dtype=np.int64))

    def _phrases(self, ctx: Context) -> list[tuple[int, ...]]:
        found: list[tuple[int, ...]] = []
        for text in self.vllm_bad_words:
            tokenizer = tokenizer_of(ctx, f"the text {text!r}")
            bare, spaced = (tuple(own_ids(tokenizer, space + text.lstrip())) for space in ("", " "))
            if not bare:
                raise ParameterError(f"the text {text!r} has no tokens in this vocabulary")
            found.append(bare)
            if spaced and spaced[0] != bare[0] and len(spaced) == len(bare):
                found.append(spaced)
        return found
