"""Tokens as labels: quoted, and safe to show in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from decodekit.errors import DecodekitError
from decodekit.text.safe_text import safe_text

if TYPE_CHECKING:
    from decodekit.text.tokenizer import Tokenizer

__all__ = ["token_label"]


def token_label(tokenizer: Tokenizer | None, token_id: int) -> str:
    """The token's text in quotes, with bytes that are not valid UTF-8 as escapes; its id where it has no text."""
    try:
        data = tokenizer.token_bytes(token_id) if tokenizer is not None else None
    except DecodekitError:
        data = None
    if data is None:
        return f"#{token_id}"
    text = data.decode("utf-8", "backslashreplace")
    return f'"{safe_text(text)}"'
