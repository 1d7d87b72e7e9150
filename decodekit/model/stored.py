"""Answers that an adapter keeps. One that was compared with its own copy was not computed twice, and proves nothing."""

from __future__ import annotations

from collections.abc import Sequence

from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import CHEAP, Disclosure
from decodekit.errors import DecodekitError
from decodekit.model.adapter import Adapter, Answer, AsyncAdapter
from decodekit.model.asking import BlockingAdapter, ask, cached_tokens
from decodekit.model.prefix import Prefix

__all__ = ["ask_anew", "computed_apart", "forget"]


def forget(adapter: Adapter | AsyncAdapter) -> None:
    """Let the next questions be answered anew, where the adapter has a method ``forget`` for that."""
    behind = adapter.adapter if isinstance(adapter, BlockingAdapter) else adapter
    own = getattr(behind, "forget", None)
    if callable(own):
        own()


def ask_anew(adapter: Adapter, prefix: Prefix, want: Disclosure = CHEAP) -> tuple[Distribution, bool]:
    """An answer that the adapter computes for this question if it can, and whether it said that it repeats one.

    Raises:
        DecodekitError: the adapter's answer.
    """
    forget(adapter)
    before = cached_tokens(adapter, prefix, asked=False)
    (answer,) = ask(adapter, [prefix], want)
    known = cached_tokens(adapter, prefix, asked=True) if before is None else before
    if isinstance(answer, DecodekitError):
        raise answer
    return answer, known == len(prefix)


def computed_apart(answers: Sequence[Answer]) -> bool:
    """Whether no two of these are one object: an answer never changes, so an adapter may return one that it keeps."""
    return len(set(map(id, answers))) == len(answers)
