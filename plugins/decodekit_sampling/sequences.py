"""Biases on phrases: the last token is biased when the tokens before it are already there."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, WithJsonSchema, field_validator

from decodekit import Context, Disclosure, Distribution, Plugin
from decodekit_sampling.history import named, recent
from decodekit_sampling.phrases import Phrase, ids_of, once

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


def due(groups: list[_Group], ctx: Context) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The tokens that would complete a sequence now, int64[k], and their biases; a token may come up twice."""
    longest = max((beginnings.shape[1] for beginnings, _, _ in groups), default=0)
    history = recent(ctx, window=longest) if longest else np.empty(0, dtype=np.int64)
    ids, biases = [], []
    for beginnings, last, bias in groups:
        length = beginnings.shape[1]
        if length > len(history):
            continue
        here = (beginnings == history[len(history) - length :]).all(axis=1)
        ids.append(last[here])
        biases.append(bias[here])
    return np.concatenate([np.empty(0, np.int64), *ids]), np.concatenate([np.empty(0), *biases])


class SequenceBias(Plugin):
    """Add a bias in nats to the last token of a phrase whenever the tokens before it have just been written.

    Pairs of a phrase (text or token ids) and its bias; ``false`` bans the phrase. Only the phrase's own tokenisation is
    known: to catch a text however it is split, ban it as a phrase.

    Formula: s_i + bias where i ends a phrase whose other tokens are the last that were written
    Edges: a phrase of one token is biased always; a token that ends several is biased by their sum.
    Source: transformers ``sequence_bias``.
    Engines: transformers; prompt and output are one history there too.
    Example: sequence_bias = [[[3, 1, 2], 2.0], [[0], -1.0]]

    Raises:
        EmptySupport: every token that had probability is banned.
    """

    sequence_bias: Annotated[tuple[_Pair, ...], Field(strict=False, min_length=1, max_length=100_000)]

    @field_validator("sequence_bias")
    @classmethod
    def _no_true(cls, value: tuple[tuple[Phrase, float | bool], ...]) -> tuple[tuple[Phrase, float | bool], ...]:
        if any(bias is True for _, bias in value):
            raise ValueError("a bias is a number, or false to ban the phrase")
        return value

    def needs(self, ctx: Context) -> Disclosure:
        """The tokens that would complete a phrase now."""
        return named(due(self._groups(ctx), ctx)[0])

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact wherever these tokens are disclosed."""
        return dist.add(*due(self._groups(ctx), ctx))

    def _groups(self, ctx: Context) -> list[_Group]:
        return once(ctx.tokenizer, (SequenceBias, self.sequence_bias), lambda: grouped(self._sequences(ctx)))

    def _sequences(self, ctx: Context) -> list[tuple[tuple[int, ...], float]]:
        return [
            (ids_of(phrase, ctx), -math.inf if bias is False else float(bias)) for phrase, bias in self.sequence_bias
        ]


class BadWords(Plugin):
    """Ban phrases: their last token, whenever the tokens before it have just been written.

    A text is banned as the tokenizer writes it alone and with a space before it, token ids as they are given. Other
    ways to split the text are not caught.

    Formula: -inf where i ends a phrase whose other tokens are the last that were written
    Edges: a phrase of one token is banned always.
    Source: transformers ``bad_words_ids``; the space as in vLLM's ``bad_words``.
    Engines: transformers, by ids, sparing an end-of-text token that is listed (here it is banned as asked); vLLM and
    aphrodite, by texts.
    Example: bad_words = [[3, 1, 2], [0]]

    Raises:
        EmptySupport: every token that had probability is banned.
    """

    bad_words: Annotated[tuple[Phrase, ...], Field(strict=False, min_length=1, max_length=100_000)]

    def needs(self, ctx: Context) -> Disclosure:
        """The tokens that are banned now."""
        return named(due(self._groups(ctx), ctx)[0])

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact wherever these tokens are disclosed."""
        return dist.add(*due(self._groups(ctx), ctx))

    def _groups(self, ctx: Context) -> list[_Group]:
        return once(ctx.tokenizer, (BadWords, self.bad_words), lambda: grouped(self._sequences(ctx)))

    def _sequences(self, ctx: Context) -> list[tuple[tuple[int, ...], float]]:
        spaced = [f" {phrase}" for phrase in self.bad_words if isinstance(phrase, str)]
        return [(ids, -math.inf) for ids in dict.fromkeys(ids_of(phrase, ctx) for phrase in [*self.bad_words, *spaced])]
