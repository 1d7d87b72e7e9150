"""Lists in the form of chat answers: one object per token, with the alternatives in ``top_logprobs``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from decodekit.errors import ProviderError
from decodekit_remote.dialect import Position, Token
from decodekit_remote.dialects.completions import no_logprobs

__all__ = ["by_bytes", "by_id", "positions"]


def positions(entries: Any, read: Callable[[Any], Token], name: str) -> list[Position]:
    """One position per entry. Raises `ProviderError` for an entry without alternatives."""
    if not entries:
        raise no_logprobs(name)
    found = []
    for entry in entries:
        top = [each for each in entry["top_logprobs"] if each["logprob"] is not None]
        if not top:
            raise ProviderError(f"{name}: token {entry.get('token')!r} came with an empty list of logprobs")
        pieces = {each["id"]: bytes(each["bytes"]) for each in top if "id" in each and each.get("bytes") is not None}
        found.append(Position(read(entry), [read(each) for each in top], [each["logprob"] for each in top], pieces))
    return found


def by_bytes(entry: Any) -> Token:
    """The bytes if given and not empty (those of a control token are empty); otherwise the text."""
    return bytes(entry["bytes"]) if entry.get("bytes") else str(entry["token"])


def by_id(entry: Any) -> Token:
    """``token_id``."""
    return int(entry["token_id"])
