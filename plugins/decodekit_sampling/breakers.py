"""Which tokens and sequences of tokens a text can appear in: found by overlap with every token of the vocabulary."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from decodekit.text.tokenizer import Tokenizer

__all__ = ["Breakers", "overlapping"]

_LONGEST_TAIL = 20  # tokens, as in llama.cpp: it bounds the work of each step


class Breakers:
    """Sequences of tokens, to be looked for in a history.

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

    A token that holds the text is one by itself. A token that ends with a beginning of the text is one together with
    the tokens of the rest. Scans the vocabulary once. A token that ends inside a character of the text is passed
    over, for the rest of a character has no tokenisation.
    """
    data = text.encode()
    rests: dict[int, tuple[int, ...] | None] = {}
    sequences: list[tuple[int, ...]] = []
    for token in range(tokenizer.vocab_size):
        word = tokenizer.token_bytes(token)
        if word is None or data[0] not in word:
            continue
        if data in word:
            sequences.append((token,))
            continue
        for cut in range(1, len(data)):
            if not word.endswith(data[:cut]):
                continue
            if cut not in rests:
                rests[cut] = _rest(tokenizer, data[cut:])
            rest = rests[cut]
            if rest is not None:
                sequences.append((token, *rest))
    named = tokenizer.encode(text, special=True) if len(data) > 1 else []
    if len(named) == 1 and tokenizer.token_bytes(named[0]) is None:
        sequences.append((named[0],))  # the text is the name of a control token
    return sequences


def _rest(tokenizer: Tokenizer, data: bytes) -> tuple[int, ...] | None:
    try:
        return tuple(tokenizer.encode(data.decode()))[:_LONGEST_TAIL]
    except UnicodeDecodeError:
        return None


def _among(ids: NDArray[np.int64], table: NDArray[np.bool_]) -> NDArray[np.bool_]:
    if len(table) == 0:
        return np.zeros(len(ids), dtype=bool)
    return table[np.minimum(ids, len(table) - 1)] & (ids < len(table))
