"""Checks how a dialect reads a server's answer: any unexpected shape becomes a `ProviderError`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from decodekit.errors import ProviderError
from decodekit_remote.dialect import Dialect, Position, Reply, Request

__all__ = ["SHAPE", "Clean", "integers", "read_event", "read_reply", "reading"]

SHAPE = (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RecursionError)
"""The exceptions that reading an answer of another shape may raise."""

_LONGEST = 200  # characters of such an error that are quoted

Clean = Callable[[str], str]


@contextmanager
def reading(dialect: str, where: str, clean: Clean = str) -> Iterator[None]:
    """Turns the exception for an unexpected shape into a `ProviderError`.

    Args:
        dialect: its name.
        where: the address that was asked.
        clean: removes the key from a text; the message is shortened only after that.
    """
    try:
        yield
    except SHAPE as error:
        message = clean(f"{type(error).__name__}: {error}")[:_LONGEST]
        raise ProviderError(f"{where} answered in a shape that dialect {dialect!r} does not know ({message})") from None


def read_reply(dialect: Dialect, where: str, data: Any, question: Request, clean: Clean = str) -> list[Reply]:
    """The dialect's reading of an answer."""
    with reading(dialect.name, where, clean):
        replies = dialect.reply(data, question)
        for reply in replies:
            _check(reply, ids=dialect.capabilities.ids_out)
    if len(replies) != len(question.prompts):
        raise ProviderError(f"{where} answered {len(question.prompts)} prompts with {len(replies)} replies")
    return replies


def read_event(dialect: Dialect, where: str, data: Any, seen: int, clean: Clean = str) -> Reply:
    """The dialect's reading of one event of a stream, ``seen`` positions into it."""
    with reading(dialect.name, where, clean):
        reply = dialect.event(data, seen)
        _check(reply, ids=dialect.capabilities.ids_out)
    return reply


def integers(values: Any) -> list[int]:
    """A list of integers of 63 bits, none negative. Raises `TypeError` or `ValueError` for anything else."""
    if not isinstance(values, list | tuple) or not set(map(type, values)) <= {int}:
        raise TypeError("not a list of integers")
    if values and not 0 <= min(values) <= max(values) < 2**63:
        raise ValueError("an integer that is not a token id")
    return list(values)


def _check(reply: Reply, *, ids: bool) -> None:
    for position in [*reply.positions, *reply.prompt]:
        if position is not None:
            _check_position(position, (int,) if ids else (int, bytes, str))
    names: tuple[object, object] = (reply.model, reply.build)
    if not all(isinstance(name, str) for name in names):
        raise TypeError("a name that is not text")
    if reply.prompt_tokens is not None and type(reply.prompt_tokens) is not int:
        raise TypeError("a number of tokens that is not an integer")


def _check_position(position: Position, kinds: tuple[type, ...]) -> None:
    _check_tokens(position.tokens if position.chosen is None else [*position.tokens, position.chosen], kinds)
    if any(not issubclass(kind, int | float | np.number) or kind is bool for kind in set(map(type, position.logprobs))):
        raise TypeError("a log-probability that is not a number")
    if len(np.array(position.logprobs, dtype=np.float64)) != len(position.tokens):
        raise ValueError(f"{len(position.tokens)} tokens with {len(position.logprobs)} log-probabilities")


def _check_tokens(tokens: Sequence[Any], kinds: tuple[type, ...]) -> None:
    found = set(map(type, tokens))
    if not found <= set(kinds):
        raise TypeError(f"a token that is not {' or '.join(kind.__name__ for kind in kinds)}")
    if int in found:
        integers([token for token in tokens if type(token) is int])
