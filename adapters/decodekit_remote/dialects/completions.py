"""What the dialects of ``/v1/completions`` have in common: choices, each with four lists of equal length."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import Any

from decodekit.errors import ProviderError
from decodekit_remote.dialect import Position, Reply, Request, Token

__all__ = [
    "COUNTED",
    "NoLogprobs",
    "counts_of",
    "first_choice",
    "models_of",
    "no_logprobs",
    "plain_body",
    "position",
    "read_choices",
    "read_event",
    "whole_number",
    "without_logprobs",
]

Reading = Callable[[str], Token]

COUNTED: Mapping[str, Any] = {"stream_options": {"include_usage": True}}
"""Asks for the numbers of tokens at the end of a stream."""


def read_choices(data: Any, read: Reading, name: str, lists: int) -> list[Reply]:
    """One reply per choice, by their index.

    Args:
        data: the body.
        read: what a key of a list is: an id, bytes or text.
        name: of the dialect, for errors.
        lists: how many of the lists belong to the prompt, for all replies; -1 to count them by ``prompt_token_ids``.
    """
    replies = []
    for choice in sorted(data["choices"], key=lambda choice: int(choice.get("index", 0))):
        count = len(choice["prompt_token_ids"]) if lists < 0 else lists
        listed = _lists(choice, read, name)
        positions = [each for each in takewhile(lambda each: each is not None, listed[count:]) if each is not None]
        replies.append(
            Reply(
                positions,
                prompt=listed[1:count],
                cut=len(positions) < len(listed) - count,
                model=str(data.get("model") or ""),
                build=str(data.get("system_fingerprint") or ""),
                **(counts_of(data) if len(data["choices"]) == 1 else {}),
            )
        )
    return replies


def read_event(data: Any, read: Reading, name: str) -> Reply:
    """One event of a stream: the last one has a reason, and often no lists."""
    choice = first_choice(data)
    if choice is None:
        return Reply([], finished=False)
    finished = bool(choice.get("finish_reason"))  # "" stands for null in some proxies
    listed = [] if finished and not choice.get("logprobs") else _lists(choice, read, name)
    return Reply(
        [each for each in listed if each is not None],
        finished=finished,
        model=str(data.get("model") or ""),
        build=str(data.get("system_fingerprint") or ""),
        **counts_of(data),
    )


def first_choice(data: Any) -> Any:
    """The choice with index 0, the only one that was asked for; None where an event has none."""
    return next((choice for choice in data.get("choices") or () if not choice.get("index")), None)


def counts_of(data: Any) -> dict[str, Any]:
    """The counts of a reply from its ``usage``. Raises `TypeError` for one that is no number."""
    usage = data.get("usage") or {}
    details = usage.get("prompt_tokens_details") or {}
    return {
        "prompt_tokens": whole_number(usage.get("prompt_tokens")),
        "cached_tokens": whole_number(details.get("cached_tokens")),
    }


def whole_number(value: Any) -> int | None:
    """An integer that may be written as 6.0 or "6"."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and re.fullmatch("-?[0-9]{1,18}", value):
        return int(value)
    if value is not None and type(value) is not int:
        raise TypeError("a number of tokens that is not an integer")
    return value


def _lists(choice: Any, read: Reading, name: str) -> list[Position | None]:
    scored = choice.get("logprobs")
    tops = scored["top_logprobs"] if scored else None
    if not scored or not tops:
        if choice.get("finish_reason") == "stop" and not choice.get("text"):
            return []
        raise no_logprobs(name)
    if len(tops) != len(scored["tokens"]):
        raise ProviderError(f"{name}: {len(scored['tokens'])} tokens came with {len(tops)} lists")
    return [
        None if top is None else position(token, top, read) for token, top in zip(scored["tokens"], tops, strict=True)
    ]


def position(chosen: str, top: Mapping[str, float | None], read: Reading) -> Position:
    """A mapping from keys to logprobs; null is a missing value."""
    shown = [(key, value) for key, value in top.items() if value is not None]
    if not shown:
        raise ProviderError("a position came with an empty list of logprobs")
    return Position(read(chosen), [read(key) for key, _ in shown], [value for _, value in shown])


def without_logprobs(body: Mapping[str, Any]) -> dict[str, Any]:
    """A body that does not ask for logprobs: a server that has none may refuse the question."""
    return {key: value for key, value in body.items() if key not in ("logprobs", "top_logprobs")}


class NoLogprobs(ProviderError):
    """A server answered without logprobs."""


def no_logprobs(name: str) -> NoLogprobs:
    """The error for a server that answers without logprobs."""
    return NoLogprobs(
        f"{name}: the server answered without logprobs, though they were asked for. It or this model gives none, or "
        "none for a token that is part of a character"
    )


def models_of(data: Any, wanted: str | None) -> Any:
    """The entry of ``/v1/models`` that is meant; None when there is no such list."""
    if not isinstance(data, dict) or not isinstance(data.get("data"), list) or not data["data"]:
        return None
    listed: Sequence[Any] = data["data"]
    return next((entry for entry in listed if entry.get("id") == wanted), listed[0])


def plain_body(question: Request, text: Sequence[Any]) -> dict[str, Any]:
    """The fields that all of them support: greedy, and without anything that changes the distribution."""
    body: dict[str, Any] = {
        "prompt": text[0] if len(text) == 1 else list(text),
        "max_tokens": question.tokens,
        "logprobs": question.top,
        "temperature": question.temperature or 0,
        "stream": question.stream,
    }
    if question.model is not None:
        body["model"] = question.model
    return body
