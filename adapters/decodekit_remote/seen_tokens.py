"""What the tokenizers without a vocabulary share: the bytes of the tokens seen so far."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["SeenTokens"]


class SeenTokens:
    """A tokenizer that knows the bytes of the tokens that were seen, and of no others.

    Attributes:
        listed: False: it gives the bytes of tokens one by one.
        seen: the bytes of the tokens seen so far, by id.
    """

    listed = False

    def __init__(self) -> None:
        self.seen: dict[int, bytes] = {}

    def decode(self, ids: Sequence[int]) -> bytes:
        """The bytes of these tokens, those without bytes left out."""
        return b"".join(self.token_bytes(token) or b"" for token in ids)

    def token_bytes(self, token_id: int) -> bytes | None:
        """The bytes of a token; None for one without text."""
        raise NotImplementedError
