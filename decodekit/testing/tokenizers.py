"""Two small tokenizers for tests."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from decodekit.errors import ParameterError
from decodekit.text.base import BaseTokenizer
from decodekit.text.utf8 import utf8

__all__ = ["BytesTokenizer", "NoPiece", "PiecesTokenizer"]


class NoPiece(ParameterError):
    """A text that these pieces cannot write."""


class PiecesTokenizer(BaseTokenizer):
    """Tokens are the given byte strings; encoding takes the longest piece that fits. It has no chat template.

    Args:
        pieces: the bytes of each token by id; None for a control token without text.
        eos_ids: the ids that end a generation.
        bos_id: the id a text prompt starts with, or None.
    """

    def __init__(
        self, pieces: Sequence[bytes | None], *, eos_ids: Sequence[int] = (), bos_id: int | None = None
    ) -> None:
        super().__init__(len(pieces), eos_ids=eos_ids, bos_id=bos_id)
        self._pieces = tuple(pieces)
        self._by_length = sorted(
            ((piece, i) for i, piece in enumerate(pieces) if piece), key=lambda item: (-len(item[0]), item[1])
        )
        self.fingerprint = sha256(repr((self._pieces, sorted(self.eos_ids), bos_id)).encode()).hexdigest()

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """Greedy, longest piece first. Raises `ParameterError` where no piece fits."""
        data, ids = utf8(text, "the text"), []
        while data:
            match = next((item for item in self._by_length if data.startswith(item[0])), None)
            if match is None:
                raise NoPiece(f"no token begins {data[:8]!r}")
            ids.append(match[1])
            data = data[len(match[0]) :]
        return ids

    def known_token_bytes(self, token_id: int) -> bytes | None:
        return self._pieces[token_id]


class BytesTokenizer(PiecesTokenizer):
    """One token per byte, and token 256 as the end of text."""

    def __init__(self) -> None:
        super().__init__([*(bytes([i]) for i in range(256)), None], eos_ids=[256])

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """The UTF-8 bytes of the text."""
        return list(utf8(text, "the text"))
