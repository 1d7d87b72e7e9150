"""Tokens as labels: quoted, safe to show in a terminal, and never the same for two texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from decodekit.errors import DecodekitError
from decodekit.text.safe_text import safe_text

if TYPE_CHECKING:
    from decodekit.text.tokenizer import Tokenizer

__all__ = ["quoted", "token_label"]


def quoted(text: str | bytes) -> str:
    """A text in quotes, in which every backslash that is not doubled begins an escape.

    A quote is ``"\\""``, a newline ``"\\n"``, a backslash before an n is ``"\\\\n"``. Bytes that are not valid UTF-8
    are escapes such as ``\\xff``; characters have these below ``\\x80`` only.
    """
    if isinstance(text, bytes):
        text = text.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")
    else:
        text = text.replace("\\", "\\\\")
    return '"' + safe_text(text).replace('"', '\\"') + '"'


def token_label(tokenizer: Tokenizer | None, token_id: int) -> str:
    """The token's text in quotes, as of `quoted`; its id where it has no text."""
    try:
        data = tokenizer.token_bytes(token_id) if tokenizer is not None else None
    except DecodekitError:
        data = None
    if data is None:
        return f"#{token_id}"
    return quoted(data)
