"""Texts and token ids in a configuration, and their ids in a model's vocabulary."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from decodekit import Context, Distribution, ParameterError
from decodekit.text.tokenizer import Tokenizer
from decodekit_sampling.history import NonEmptyTokenIds, within

__all__ = ["Phrase", "Text", "ids_of", "tokenizer_of", "within_each"]

Text = Annotated[str, Field(min_length=1, max_length=10_000)]
Phrase = Text | NonEmptyTokenIds
"""A text, in which markup such as ``<think>`` means the control token; or its token ids."""


def tokenizer_of(ctx: Context, what: str) -> Tokenizer:
    """The tokenizer, or an error that says what to give instead."""
    if ctx.tokenizer is None:
        raise ParameterError(f"{what} needs a tokenizer, and this adapter has none; give token ids")
    return ctx.tokenizer


def within_each(dist: Distribution, phrases: Iterable[str | tuple[int, ...] | None], field: str) -> None:
    """As `within`, for the phrases that are ids."""
    within(dist, (max(phrase) for phrase in phrases if isinstance(phrase, tuple)), field)


def ids_of(phrase: str | tuple[int, ...], ctx: Context) -> tuple[int, ...]:
    """The ids of a phrase, as the tokenizer encodes the text inside a longer one: with no space in front.

    Raises:
        ParameterError: a text without a tokenizer, or one that has no tokens.
    """
    if isinstance(phrase, tuple):
        return phrase
    ids = tuple(tokenizer_of(ctx, f"the text {phrase!r}").encode(phrase, special=True))
    if not ids:
        raise ParameterError(f"the text {phrase!r} has no tokens in this vocabulary")
    return ids
