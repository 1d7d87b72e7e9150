"""The history of tokens: how processors read it, and how they request its tokens by id."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BeforeValidator, Field

from decodekit import CHEAP, Context, Disclosure, Distribution, ParameterError
from decodekit.text.tokenizer import TokenId

__all__ = ["NonEmptyTokenIds", "Scope", "TokenId", "TokenIdTuple", "Window", "named", "recent", "weighed", "within"]

Scope = Annotated[Literal["prompt", "output", "both"], Field(description="which tokens count as history")]
Window = Annotated[int, Field(ge=1, le=10_000_000, description="how many of the most recent tokens count; None: all")]


def _as_tuple(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return tuple(value) if isinstance(value, list) else value


NonEmptyTokenIds = Annotated[
    tuple[TokenId, ...], Field(strict=False, min_length=1, max_length=1_000_000), BeforeValidator(_as_tuple)
]
"""Token ids; TOML and JSON write a list, and a NumPy array is one, too."""

_MOST_NAMED = 512


TokenIdTuple = Annotated[tuple[TokenId, ...], BeforeValidator(_as_tuple), Field(max_length=10_000_000)]
"""Token ids in order; there may be none."""


def recent(ctx: Context, scope: Scope = "both", window: int | None = None) -> NDArray[np.int64]:
    """The ids of the scope, oldest first, as int64[n]. O(window): older ones are not looked at.

    Args:
        ctx: the ids so far.
        scope: which of them count.
        window: only this many of the most recent; None for all.
    """
    prompt, output = (np.asarray(ids, dtype=np.int64) for ids in (ctx.prompt_ids, ctx.output_ids))
    if scope != "both":
        ids = prompt if scope == "prompt" else output
        return ids if window is None else ids[-window:]
    if window is None:
        return np.concatenate([prompt, output])
    if len(output) >= window:
        return output[-window:]
    return np.concatenate([prompt[max(0, len(prompt) + len(output) - window) :], output])


def weighed(
    history: NDArray[np.int64], weights: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """The distinct ids of a history with the sum and the largest of their weights; without weights each counts one.

    Returns:
        ids int64[m], rising; sums float64[m]; largest float64[m].
    """
    if weights is None:
        ids, counts = np.unique(history, return_counts=True)
        return ids, np.asarray(counts, dtype=np.float64), np.ones(len(ids))
    ids, which = np.unique(history, return_inverse=True)
    largest = np.zeros(len(ids))
    np.maximum.at(largest, which, weights)
    return ids, np.asarray(np.bincount(which, weights, len(ids)), dtype=np.float64), largest


def named(ids: ArrayLike) -> Disclosure:
    """A request for these tokens by id; `CHEAP` when there are more than 512.

    A long list is not requested in advance: a complete row lacks nothing, and building the list would cost time at
    every step. A head that lacks tokens raises `Undisclosed` with exactly these.
    """
    array = np.asarray(ids, dtype=np.int64)
    return Disclosure(None, tuple(np.unique(array).tolist())) if len(array) <= _MOST_NAMED else CHEAP


def within(dist: Distribution, ids: Iterable[int] | None, field: str) -> None:
    """Refuse ids of a parameter that no token of this vocabulary has: they would do nothing. O(ids).

    Raises:
        ParameterError: such an id, with the field and the size of the vocabulary.
    """
    largest = max(() if ids is None else ids, default=0)
    if dist.vocab_size is not None and largest >= dist.vocab_size:
        raise ParameterError(f"{field}: token id {largest} lies outside the vocabulary of {dist.vocab_size} tokens")
