"""No n-gram twice: ban the tokens that would complete an n-gram that occurred before."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from decodekit import Context, Disclosure, Distribution, Plugin
from decodekit.plugin.traits import Kind
from decodekit_sampling.history import NonEmptyTokenIds, Scope, Window, named, recent, within

__all__ = ["EncoderNoRepeatNgram", "NoRepeatNgram"]

_Size = Annotated[int, Field(ge=1, le=1000)]


def completions(text: NDArray[np.int64], ending: NDArray[np.int64]) -> NDArray[np.int64]:
    """The tokens that follow ``ending`` somewhere in ``text``, as int64[m], rising. O(text) and a little more."""
    if len(text) <= len(ending):
        return np.empty(0, dtype=np.int64)
    follows = np.arange(len(ending), len(text))
    for back, token in enumerate(ending[::-1].tolist(), 1):
        follows = follows[text[follows - back] == token]
    return np.unique(text[follows])


class _Ngrams(Plugin):
    """Bans tokens; ``given_ids`` is the parameter that holds token ids."""

    kind: ClassVar[Kind] = "mask"
    given_ids: ClassVar[str]

    def needs(self, ctx: Context) -> Disclosure:
        """The banned tokens by name."""
        return named(self._banned(ctx))

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact wherever the banned tokens are disclosed."""
        within(dist, getattr(self, self.given_ids), self.given_ids)
        return dist.add(self._banned(ctx), -math.inf)

    def _banned(self, ctx: Context) -> NDArray[np.int64]:
        raise NotImplementedError


class NoRepeatNgram(_Ngrams):
    """Ban every token that would complete an n-gram which occurred before.

    Formula: -inf for every i that followed the last n - 1 tokens somewhere in the history
    Edges: 1 bans every token that occurred; only n-grams within the ``window`` most recent tokens count, and tokens of
    the ``whitelist`` are never banned.
    Source: fairseq and transformers ``no_repeat_ngram_size``; window and whitelist as in SGLang's processor for
    DeepSeek-OCR.
    Engines: transformers, text-generation-webui and aphrodite; the history of transformers is the prompt and the
    output.
    Example: no_repeat_ngram = 2

    Raises:
        EmptySupport: every token that had probability would complete one.
    """

    given_ids: ClassVar[str] = "whitelist"

    no_repeat_ngram: _Size
    scope: Scope = "both"
    window: Window | None = None
    whitelist: NonEmptyTokenIds | None = None

    def _banned(self, ctx: Context) -> NDArray[np.int64]:
        history = recent(ctx, self.scope, self.window)
        if len(history) < self.no_repeat_ngram:
            return np.empty(0, dtype=np.int64)
        banned = completions(history, history[len(history) - self.no_repeat_ngram + 1 :])
        return banned if self.whitelist is None else np.setdiff1d(banned, self.whitelist)


class EncoderNoRepeatNgram(_Ngrams):
    """Ban every token that would complete an n-gram of the prompt, or of other given ids.

    Formula: -inf for every i that follows the last n - 1 tokens somewhere in these ids
    Edges: 1 bans each of these ids.
    Source: transformers ``encoder_no_repeat_ngram_size``.
    Engines: transformers, whose encoder ids are the prompt of a decoder-only model.
    Example: encoder_no_repeat_ngram = 2, ids = [1, 3]

    Raises:
        EmptySupport: every token that had probability would complete one.
    """

    given_ids: ClassVar[str] = "ids"

    encoder_no_repeat_ngram: _Size
    ids: NonEmptyTokenIds | None = None

    def _banned(self, ctx: Context) -> NDArray[np.int64]:
        before = self.encoder_no_repeat_ngram - 1
        ending = recent(ctx, window=before) if before else np.empty(0, dtype=np.int64)
        if len(ending) < before:
            return np.empty(0, dtype=np.int64)
        return completions(np.asarray(ctx.prompt_ids if self.ids is None else self.ids, dtype=np.int64), ending)
