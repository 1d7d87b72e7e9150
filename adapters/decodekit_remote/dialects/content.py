"""Lists in the form of chat answers: one object per token, with the alternatives in ``top_logprobs``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from decodekit.errors import ProviderError
from decodekit_remote.dialect import Position, Token
from decodekit_remote.dialects.completions import no_logprobs

__all__ = ["by_bytes", "by_id", "is_joined", "positions"]


def positions(entries: Any, read: Callable[[Any], Token], name: str) -> list[Position]:
    """One position per entry, up to the first that stands for several tokens.

    Raises:
        ProviderError: there is none, or an entry without alternatives.
    """
    if not entries:
        raise no_logprobs(name)
    found = []
    for entry in entries:
        top = [each for each in entry["top_logprobs"] if each["logprob"] is not None]
        if not top:
            raise ProviderError(f"{name}: token {entry.get('token')!r} came with an empty list of logprobs")
        if is_joined(entry):
            break
        pieces = {each["id"]: bytes(each["bytes"]) for each in top if "id" in each and each.get("bytes") is not None}
        found.append(Position(read(entry), [read(each) for each in top], [each["logprob"] for each in top], pieces))
    return found


def is_joined(entry: Any) -> bool:
    """Whether an entry stands for all tokens of a character, while its values are those of the last one alone.

    llama-server sends no entry for a token that ends inside a character. The entry of the token that ends it has the
    bytes of all, and the list after the others. In that list this token has its own bytes: the last of the entry's,
    which begin no character.
    """
    if not entry.get("bytes"):
        return False
    whole, listed = bytes(entry["bytes"]), entry.get("top_logprobs") or ()
    own = [bytes(each["bytes"]) for each in listed if "id" in each and each["id"] == entry.get("id") and each["bytes"]]
    if own:
        return whole not in own
    pieces = [bytes(each["bytes"]) for each in listed if each.get("bytes")]
    return whole not in pieces and any(whole.endswith(piece) and 0x80 <= piece[0] < 0xC0 for piece in pieces)


def by_bytes(entry: Any) -> Token:
    """The bytes if given and not empty (those of a control token are empty); otherwise the text."""
    return bytes(entry["bytes"]) if entry.get("bytes") else str(entry["token"])


def by_id(entry: Any) -> Token:
    """``token_id``."""
    return int(entry["token_id"])
