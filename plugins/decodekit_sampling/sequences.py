"""Biases on phrases: a bias for every token that would complete one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, WithJsonSchema, field_validator

from decodekit import Context, Disclosure, Distribution, Plugin
from decodekit.plugin.traits import Kind
from decodekit.text.tokenizer_cache import cached_for
from decodekit_sampling.history import Scope, named, recent
from decodekit_sampling.phrases import Phrase, tokenizer_of, within_each
from decodekit_sampling.texts import Texts

__all__ = ["BadWords", "SequenceBias"]

_Bias = Annotated[float, Field(ge=-1000, le=1000)]
_Banned = Annotated[bool, WithJsonSchema({"const": False})]
_Pair = Annotated[tuple[Phrase, _Bias | _Banned], Field(strict=False)]
_Group = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]


def grouped(sequences: list[tuple[tuple[int, ...], float]]) -> list[_Group]:
    """A table for each length: beginnings int64[m, n - 1], last tokens int64[m] and biases float64[m]."""
    by_length: dict[int, list[tuple[tuple[int, ...], float]]] = {}
    for ids, bias in sequences:
        by_length.setdefault(len(ids), []).append((ids, bias))
    return [
        (
            np.array([ids[:-1] for ids, _ in group], dtype=np.int64).reshape(len(group), length - 1),
            np.array([ids[-1] for ids, _ in group], dtype=np.int64),
            np.array([bias for _, bias in group]),
        )
        for length, group in by_length.items()
    ]


def due(groups: list[_Group], ctx: Context, scope: Scope = "both") -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The tokens that would complete a sequence now, int64[k], and their biases; a token may occur twice."""
    longest = max((beginnings.shape[1] for beginnings, _, _ in groups), default=0)
    history = recent(ctx, scope, longest) if longest else np.empty(0, dtype=np.int64)
    ids, biases = [], []
    for beginnings, last, bias in groups:
        length = beginnings.shape[1]
        if length > len(history):
            continue
        here = (beginnings == history[len(history) - length :]).all(axis=1)
        ids.append(last[here])
        biases.append(bias[here])
    return np.concatenate([np.empty(0, np.int64), *ids]), np.concatenate([np.empty(0), *biases])


class _Phrases:
    """Sequences of ids, and texts: which tokens would complete one."""

    def __init__(self, biased: Sequence[tuple[str | tuple[int, ...], float]], ctx: Context, what: str) -> None:
        self._groups = grouped([(phrase, bias) for phrase, bias in biased if isinstance(phrase, tuple)])
        texts = [(phrase, bias) for phrase, bias in biased if isinstance(phrase, str)]
        self._texts = Texts(texts, tokenizer_of(ctx, f"the text {texts[0][0]!r}"), what) if texts else None

    def due(self, ctx: Context, scope: Scope) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        ids, biases = due(self._groups, ctx, scope)
        if self._texts is None:
            return ids, biases
        more, their = self._texts.due(ctx, scope)
        return np.concatenate([ids, more]), np.concatenate([biases, their])


class SequenceBias(Plugin):
    """Add a bias in nats to every token that would complete a phrase.

    Pairs of a phrase and its bias; ``false`` bans the phrase. A phrase of token ids is complete with its last token,
    when the others have just been written. A text is found by its bytes, however it is split into tokens: a token is
    biased when it would complete the text, even if the token goes on after it.

    Formula: s_i + bias where i completes a phrase
    Edges: a phrase of one token is biased always, and so is a token that holds a whole text; a token that completes
    several phrases is biased by their sum. The name of a control token is that token too.
    Source: transformers ``sequence_bias``, which takes token ids; the rule for texts is decodekit's.
    Engines: transformers; prompt and output are one history there too.
    Example: sequence_bias = [[[3, 1, 2], 2.0], [[0], -1.0]]

    Raises:
        EmptySupport: every token that had probability is banned.
        ParameterError: a text, and the adapter has no tokenizer, or one that cannot list its tokens.
    """

    kind: ClassVar[Kind] = "bias"

    sequence_bias: Annotated[tuple[_Pair, ...], Field(strict=False, min_length=1, max_length=100_000)]

    @field_validator("sequence_bias")
    @classmethod
    def _no_true(cls, value: tuple[tuple[Phrase, float | bool], ...]) -> tuple[tuple[Phrase, float | bool], ...]:
        if any(bias is True for _, bias in value):
            raise ValueError("a bias is a number, or false to ban the phrase")
        return value

    def needs(self, ctx: Context) -> Disclosure:
        """The tokens that would complete a phrase now."""
        return named(self._phrases(ctx).due(ctx, "both")[0])

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact wherever these tokens are disclosed."""
        within_each(dist, (phrase for phrase, _ in self.sequence_bias), "sequence_bias")
        return dist.add(*self._phrases(ctx).due(ctx, "both"))

    def _phrases(self, ctx: Context) -> _Phrases:
        return cached_for(ctx.tokenizer, (SequenceBias, self.sequence_bias), lambda: self._biased(ctx))

    def _biased(self, ctx: Context) -> _Phrases:
        biased = [(phrase, -math.inf if bias is False else float(bias)) for phrase, bias in self.sequence_bias]
        return _Phrases(biased, ctx, "sequence_bias")


class BadWords(Plugin):
    """Ban phrases: every token that would complete one.

    A text is banned by its bytes, however it is split into tokens: no output contains it. Token ids are banned as they
    are given: the last id, whenever the others have just been written.

    Formula: -inf where i completes a phrase
    Edges: a phrase of one token is banned always, and so is a token that holds a whole text: 'as' bans ' class'. The
    name of a control token is that token too. The option ``ban`` of a session goes back to the start of the text
    instead, so other texts that begin in the same way stay possible.
    Source: transformers ``bad_words_ids``; the rule for texts is decodekit's.
    Engines: transformers, by ids; it does not ban an end-of-text token that is listed (here it is banned). vLLM and
    aphrodite ban a text in two of its tokenisations: see `vllm_bad_words`.
    Example: bad_words = [[3, 1, 2], [0]]

    Raises:
        EmptySupport: every token that had probability is banned.
        ParameterError: a text, and the adapter has no tokenizer, or one that cannot list its tokens.
    """

    kind: ClassVar[Kind] = "mask"

    bad_words: Annotated[tuple[Phrase, ...], Field(strict=False, min_length=1, max_length=100_000)]
    scope: Scope = "both"

    def needs(self, ctx: Context) -> Disclosure:
        """The tokens that are banned now."""
        return named(self._phrases(ctx).due(ctx, self.scope)[0])

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact wherever these tokens are disclosed."""
        within_each(dist, self.bad_words, "bad_words")
        return dist.add(*self._phrases(ctx).due(ctx, self.scope))

    def _phrases(self, ctx: Context) -> _Phrases:
        return cached_for(ctx.tokenizer, (BadWords, self.bad_words), lambda: self._banned(ctx))

    def _banned(self, ctx: Context) -> _Phrases:
        return _Phrases([(phrase, -math.inf) for phrase in dict.fromkeys(self.bad_words)], ctx, "bad_words")
