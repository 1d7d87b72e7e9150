"""Prompt lookup: the text repeats itself."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from decodekit import Context, Plugin, Prefix
from decodekit_guessers.ngram import continuation

__all__ = ["PromptLookup"]


class PromptLookup(Plugin):
    """Guess that the text goes on as it did before: after the first occurrence of its last tokens.

    For texts that repeat their prompt: summaries, edited code, quoted documents.

    Args:
        prompt_lookup: the most tokens of a guess.
        max_ngram: the most last tokens that are searched for; the longest ending that occurs before is used.
        min_ngram: the fewest.

    Source: prompt lookup decoding (github.com/apoorvumang/prompt-lookup-decoding).
    Engines: transformers' ``prompt_lookup_num_tokens`` and ``max_matching_ngram_size``, whose candidates these are with
        the same values; vLLM's ``ngram`` and llama.cpp's ``lookup`` are of the same kind.
    Example: prompt_lookup = 10
    """

    quick: ClassVar[bool] = True

    prompt_lookup: Annotated[int, Field(ge=1, le=1000)] = 16
    max_ngram: Annotated[int, Field(ge=1, le=100)] = 3
    min_ngram: Annotated[int, Field(ge=1, le=100)] = 2

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min_ngram > self.max_ngram:
            raise ValueError(f"min_ngram is at most max_ngram, {self.max_ngram}, not {self.min_ngram}")
        return self

    def guess(self, prefix: Prefix, ctx: Context) -> list[int]:
        """The tokens that may follow; O(length of the prefix)."""
        ids = np.concatenate([np.asarray(part, dtype=np.int64) for part in (ctx.prompt_ids, ctx.output_ids)])
        return continuation(ids, ids, self.max_ngram, self.min_ngram, self.prompt_lookup)
