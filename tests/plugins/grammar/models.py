"""Small exact models whose tokens are bytes and a few longer pieces."""

from __future__ import annotations

from typing import Any

import numpy as np

from decodekit import Choice, Context, Disclosure
from decodekit.distribution.disclosure import ALL
from decodekit.draw.context import TokenIds
from decodekit.testing import TableAdapter
from decodekit.testing.tokenizers import PiecesTokenizer

LONGER = [b'{"', b'":', b'": "', b'", "', b"true", b"name", b" name", b"hello", b"he", b"llo", b"12", b"\n  ", b"ye"]
PIECES: list[bytes | None] = [*(bytes([i]) for i in range(256)), *LONGER, None, None]
EOS = len(PIECES) - 1
SIZE = len(PIECES)


def tokenizer() -> PiecesTokenizer:
    return PiecesTokenizer(PIECES, eos_ids=[EOS])


def rows_of(seed: int, spread: float = 2.0) -> Any:
    """A function from ids to a row of scores, different after each prefix."""

    def row(ids: tuple[int, ...]) -> Any:
        scores = np.random.default_rng([seed, *ids]).normal(0.0, spread, SIZE)
        letters = [i for i, piece in enumerate(PIECES) if piece and piece.isascii() and piece.isalnum()]
        scores[letters] += 2.0
        scores[[ord('"'), ord("}"), ord("]"), EOS]] += 3.0
        return scores

    return row


def model(seed: int = 0, most: Disclosure = ALL, spread: float = 2.0) -> TableAdapter:
    return TableAdapter(rows_of(seed, spread), SIZE, tokenizer=tokenizer(), most=most)


def text_of(ids: Any) -> bytes:
    return b"".join(PIECES[i] or b"" for i in ids)


class Marked(PiecesTokenizer):
    """Bytes, and some control tokens."""

    def __init__(self, *markup: str) -> None:
        super().__init__([*(bytes([i]) for i in range(256)), None, *(None for _ in markup)], eos_ids=[256])
        self._markup = {name: 257 + at for at, name in enumerate(markup)}

    @property
    def control_tokens(self) -> dict[str, int]:
        return self._markup


def ids_of(tokens: Marked, *parts: str) -> list[int]:
    return [
        i for part in parts for i in ([tokens.control_tokens[part]] if part in tokens.control_tokens else part.encode())
    ]


BYTES = PiecesTokenizer([*(bytes([i]) for i in range(256)), None], eos_ids=[256])
"""A vocabulary of single bytes."""


def accepts(part: Any, text: str, tokens: Any = BYTES) -> bool:
    """Whether the masks of a constraint allow this text byte by byte, and its end after it."""
    ctx = Context(TokenIds([0]), TokenIds(), tokens)
    place = part.initial(ctx)
    for byte in text.encode():
        if not place.mask[byte]:
            return False
        place = part.advance(place, Choice(byte, 0.0), ctx)
    (end,) = tokens.eos_ids
    return bool(place.mask[end]) and part.complete(place)
