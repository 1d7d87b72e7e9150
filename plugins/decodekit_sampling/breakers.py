"""Find the tokens and token sequences in which a text can appear, by overlap with every token of the vocabulary."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from decodekit import ParameterError
from decodekit.text.markup import reading
from decodekit.text.tokenizer import Tokenizer
from decodekit_sampling.texts import TokenTexts, token_texts_of

__all__ = ["Breakers", "overlapping"]

_LONGEST_TAIL = 20  # tokens, as in llama.cpp: it bounds the work of each step


class Breakers:
    """Sequences of tokens that are searched for in a history.

    Args:
        sequences: the tokens of each; none of them is empty.
    """

    def __init__(self, sequences: Sequence[tuple[int, ...]]) -> None:
        self._tails: dict[int, list[tuple[int, ...]]] = {}
        for head, *tail in dict.fromkeys(sequences):
            self._tails.setdefault(head, []).append(tuple(tail))
        size = max(self._tails, default=-1) + 1
        self._heads, self._singles = np.zeros(size, dtype=bool), np.zeros(size, dtype=bool)
        self._heads[list(self._tails)] = True
        self._singles[[head for head, tails in self._tails.items() if () in tails]] = True

    def single(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """bool[n]: which of these tokens are sequences by themselves."""
        return _among(ids, self._singles)

    def since(self, ids: NDArray[np.int64]) -> int:
        """How many tokens follow the last sequence in ``ids``; all of them when there is none.

        Of the sequences that begin at one token the longest counts.
        """
        if not self._tails:
            return len(ids)
        for at in np.flatnonzero(_among(ids, self._heads))[::-1].tolist():
            tails = self._tails[int(ids[at])]
            fitting = [len(tail) for tail in tails if tuple(ids[at + 1 : at + 1 + len(tail)].tolist()) == tail]
            if fitting:
                return len(ids) - 1 - int(at) - max(fitting)
        return len(ids)


def overlapping(tokenizer: Tokenizer, text: str) -> list[tuple[int, ...]]:
    """The sequences of tokens in which the text can appear, however its neighbours are tokenised.

    A token that contains the text is a sequence of one. A token that ends with the start of the text forms a sequence
    with the tokens of the rest, as the tokenizer encodes it; if the token ends inside a character, the other bytes of
    that character follow as single-byte tokens. Checks every token that contains the first byte. A control token is
    found by its full name.

    Raises:
        ParameterError: the tokens of this tokenizer cannot be listed.
    """
    data, texts = text.encode(), token_texts_of(tokenizer, f"the breaker {text!r}")
    rests: dict[int, tuple[int, ...] | None] = {}
    sequences: list[tuple[int, ...]] = []
    for token in np.sort(texts.holding(chr(data[0]))).tolist():
        word = tokenizer.token_bytes(token) or b""
        if data in word:
            sequences.append((token,))
            continue
        for cut in range(1, len(data)):
            if not word.endswith(data[:cut]):
                continue
            if cut not in rests:
                rests[cut] = _rest(tokenizer, texts, data[cut:])
            rest = rests[cut]
            if rest is not None:
                sequences.append((token, *rest))
    parts = reading(tokenizer, text)
    if len(parts) == 1 and isinstance(parts[0], int):
        sequences.append((parts[0],))  # the text is the name of a control token
    return sequences


def _rest(tokenizer: Tokenizer, texts: TokenTexts, data: bytes) -> tuple[int, ...] | None:
    """The tokens of the rest of a text; None where the vocabulary cannot encode it."""
    start = next((at for at, byte in enumerate(data) if byte & 0xC0 != 0x80), len(data))  # of the first whole character
    bytewise = [texts.exactly(chr(byte)) for byte in data[:start]]
    if not all(len(tokens) for tokens in bytewise):
        return None
    try:
        ids = tokenizer.encode(data[start:].decode())
    except ParameterError:
        return None
    return (*(int(tokens[0]) for tokens in bytewise), *ids)[:_LONGEST_TAIL]


def _among(ids: NDArray[np.int64], table: NDArray[np.bool_]) -> NDArray[np.bool_]:
    if len(table) == 0:
        return np.zeros(len(ids), dtype=bool)
    return table[np.minimum(ids, len(table) - 1)] & (ids < len(table))
