"""Texts and ids in a configuration, and what they are in a model's vocabulary: found once per tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Annotated, Any, TypeVar
from weakref import WeakKeyDictionary

from pydantic import Field

from decodekit import Context, ParameterError
from decodekit.text.tokenizer import Tokenizer
from decodekit_sampling.history import Ids

__all__ = ["Phrase", "Text", "ids_of", "once", "tokenizer_of"]

Text = Annotated[str, Field(min_length=1, max_length=10_000)]
Phrase = Text | Ids
"""A text, in which markup such as ``<think>`` means the control token; or its token ids."""

Value = TypeVar("Value")


class _Nobody:
    """Stands for no tokenizer."""


_nobody = _Nobody()
_found: WeakKeyDictionary[Any, dict[Hashable, Any]] = WeakKeyDictionary()
_found_by_fingerprint: dict[str, dict[Hashable, Any]] = {}


def once(tokenizer: Tokenizer | None, question: Hashable, answer: Callable[[], Value]) -> Value:
    """What ``answer()`` returned the first time the question was asked of this tokenizer.

    The question names the asker too, and all that the answer depends on. The answers go when the tokenizer goes; those
    for one that cannot be referred to weakly are kept under its fingerprint.
    """
    key: Any = _nobody if tokenizer is None else tokenizer
    try:
        known = _found.setdefault(key, {})
    except TypeError:
        known = _found_by_fingerprint.setdefault(key.fingerprint, {})
    if question not in known:
        known[question] = answer()
    found: Value = known[question]
    return found


def tokenizer_of(ctx: Context, what: str) -> Tokenizer:
    """The tokenizer, or an error that says what to give in its place."""
    if ctx.tokenizer is None:
        raise ParameterError(f"{what} needs a tokenizer, and this adapter has none; give token ids")
    return ctx.tokenizer


def ids_of(phrase: str | tuple[int, ...], ctx: Context) -> tuple[int, ...]:
    """The ids of a phrase, as the tokenizer writes the text when it stands alone.

    Raises:
        ParameterError: a text without a tokenizer, or one that has no tokens.
    """
    if isinstance(phrase, tuple):
        return phrase
    ids = tuple(tokenizer_of(ctx, f"the text {phrase!r}").encode(phrase, special=True))
    if not ids:
        raise ParameterError(f"the text {phrase!r} has no tokens in this vocabulary")
    return ids
