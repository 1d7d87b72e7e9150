"""Two tokenizers small enough to see through."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from decodekit.errors import ConfigError, ParameterError
from decodekit.text.tokenizer import Message

__all__ = ["BytesTokenizer", "PiecesTokenizer"]


class PiecesTokenizer:
    """Tokens are the given byte strings; encoding takes the longest piece that fits.

    Args:
        pieces: the bytes of each token by id; None for a control token without text.
        eos_ids: the ids that end a generation.
        bos_id: the id a text prompt starts with, or None.
    """

    def __init__(
        self, pieces: Sequence[bytes | None], *, eos_ids: Sequence[int] = (), bos_id: int | None = None
    ) -> None:
        self._pieces = tuple(pieces)
        self._by_length = sorted(
            ((piece, i) for i, piece in enumerate(pieces) if piece), key=lambda item: (-len(item[0]), item[1])
        )
        self.vocab_size = len(self._pieces)
        self.eos_ids = frozenset(eos_ids)
        self.bos_id = bos_id
        self.fingerprint = sha256(repr((self._pieces, sorted(self.eos_ids), bos_id)).encode()).hexdigest()

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """Greedy, longest piece first. Raises `ParameterError` where no piece fits."""
        data, ids = text.encode(), []
        while data:
            match = next((item for item in self._by_length if data.startswith(item[0])), None)
            if match is None:
                raise ParameterError(f"no token begins {data[:8]!r}")
            ids.append(match[1])
            data = data[len(match[0]) :]
        return ids

    def encode_messages(self, messages: Sequence[Message]) -> list[int]:
        """There is no template: raises `ConfigError`."""
        raise ConfigError("this tokenizer has no chat template; give text or token ids")

    def decode(self, ids: Sequence[int]) -> bytes:
        """The bytes of these tokens, control tokens left out."""
        return b"".join(self.token_bytes(i) or b"" for i in ids)

    def token_bytes(self, token_id: int) -> bytes | None:
        """The bytes of one token; None for a control token. Raises `ParameterError` outside the vocabulary."""
        if not 0 <= token_id < self.vocab_size:
            raise ParameterError(f"token id {token_id} lies outside the vocabulary of {self.vocab_size} tokens")
        return self._pieces[token_id]


class BytesTokenizer(PiecesTokenizer):
    """One token per byte, and token 256 as the end of text."""

    def __init__(self) -> None:
        super().__init__([*(bytes([i]) for i in range(256)), None], eos_ids=[256])

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """The UTF-8 bytes of the text."""
        return list(text.encode())
