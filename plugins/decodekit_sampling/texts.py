"""Search for texts in the history by their bytes, however they are split into tokens."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from decodekit import Context, ParameterError
from decodekit.text.markup import Spelling
from decodekit.text.tokenizer import Tokenizer
from decodekit.text.tokenizer_cache import cached_for
from decodekit_sampling.history import Scope, recent

__all__ = ["Texts", "TokenTexts", "tail", "token_texts_of"]

_LARGEST = 2**24  # tokens; a larger vocabulary is not listed
_BETWEEN = "\uffff"  # stands for no byte and for no control token


class TokenTexts:
    """The tokens of a vocabulary by their bytes, each byte a character.

    Args:
        tokenizer: has the tokens; those without text are left out.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        pieces = ((tokenizer.token_bytes(token), token) for token in range(tokenizer.vocab_size))
        found = sorted((piece.decode("latin-1"), token) for piece, token in pieces if piece)
        self._texts = [text for text, _ in found]
        self._ids = np.array([token for _, token in found], dtype=np.int64)
        self._joined = _BETWEEN.join(self._texts)
        self._ends = list(accumulate(len(text) + 1 for text in self._texts))

    def exactly(self, text: str) -> NDArray[np.int64]:
        """The tokens with this text, int64[n]."""
        return self._ids[bisect_left(self._texts, text) : bisect_right(self._texts, text)]

    def beginning(self, text: str) -> NDArray[np.int64]:
        """The tokens that begin with this text, int64[n]. O(log V)."""
        at = bisect_left(self._texts, text)
        return self._ids[at : bisect_left(self._texts, text + _BETWEEN, lo=at)]

    def holding(self, text: str) -> NDArray[np.int64]:
        """The tokens that contain this text, int64[n]. One search over all their bytes."""
        found, at = [], self._joined.find(text)
        while at >= 0:
            place = bisect_right(self._ends, at)
            found.append(place)
            at = self._joined.find(text, self._ends[place])
        return self._ids[found]


def token_texts_of(tokenizer: Tokenizer, what: str) -> TokenTexts:
    """The texts of a tokenizer's tokens, computed once.

    Args:
        tokenizer: the model's.
        what: names the field in the error.

    Raises:
        ParameterError: its tokens cannot be listed: a server gives only one token at a time.
    """
    if tokenizer.vocab_size > _LARGEST or not getattr(tokenizer, "listed", True):
        raise ParameterError(
            f"{what} is a text; to find it in tokens, the whole vocabulary must be known, and this adapter does "
            "not give it; name a tokenizer, give token ids, or ban texts with the option ban"
        )
    return cached_for(tokenizer, TokenTexts, lambda: TokenTexts(tokenizer))


def tail(ctx: Context, scope: Scope, spelling: Spelling, size: int) -> str:
    """The last ``size`` characters of the history, one character for each byte and each named control token."""
    window = max(size, 1)
    while True:
        ids = recent(ctx, scope, window)
        text = "".join(map(spelling.of, ids.tolist()))
        if len(text) >= size or len(ids) < window:
            return text[max(0, len(text) - size) :]
        window *= 2


class Texts:
    """Texts with a bias each, to be added to every token that would complete the text.

    Args:
        biased: pairs of a text and its bias in nats.
        tokenizer: the model's.
        what: names the field in an error.

    Raises:
        ParameterError: the tokens of this tokenizer cannot be listed.
    """

    def __init__(self, biased: Sequence[tuple[str, float]], tokenizer: Tokenizer, what: str) -> None:
        self._token_texts = token_texts_of(tokenizer, what)
        self._spelling = Spelling(tokenizer, (text for text, _ in biased))
        self._symbols = {self._spelling.of(token): token for token in self._spelling.controls}
        self._biases: list[float] = []
        self._whole: list[NDArray[np.int64]] = []
        self._begun: dict[str, list[tuple[int, str]]] = {}  # the start of a text: the text's number, and its rest
        for text, bias in biased:
            for form in self._spelling.forms[text]:
                number = len(self._biases)
                self._biases.append(bias)
                self._whole.append(self._among(form, self._token_texts.holding(form)))
                for cut in range(1, len(form)):
                    self._begun.setdefault(form[:cut], []).append((number, form[cut:]))
        self._longest = max(map(len, self._begun), default=0)
        self._always = _pairs(self._whole, self._biases)
        self._completing: dict[str, NDArray[np.int64]] = {}

    def due(self, ctx: Context, scope: Scope) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The tokens that would complete a text now, int64[k], and their biases; a token may occur twice."""
        written = tail(ctx, scope, self._spelling, self._longest)
        found: dict[int, list[NDArray[np.int64]]] = {}
        for size in range(1, len(written) + 1):
            for number, rest in self._begun.get(written[-size:], ()):
                found.setdefault(number, []).append(self._after(rest))
        more = [np.setdiff1d(np.concatenate(each), self._whole[number]) for number, each in found.items()]
        ids, biases = _pairs(more, [self._biases[number] for number in found])
        return np.concatenate([self._always[0], ids]), np.concatenate([self._always[1], biases])

    def _after(self, rest: str) -> NDArray[np.int64]:
        """The tokens that begin with what is missing."""
        if rest not in self._completing:
            self._completing[rest] = self._among(rest, self._token_texts.beginning(rest))
        return self._completing[rest]

    def _among(self, text: str, tokens: NDArray[np.int64]) -> NDArray[np.int64]:
        """These tokens, or the control token whose symbol the text is."""
        return np.array([self._symbols[text]], dtype=np.int64) if text in self._symbols else tokens


def _pairs(
    groups: Iterable[NDArray[np.int64]], biases: Sequence[float]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Each id of each group with the group's bias."""
    listed = list(groups)
    ids = np.concatenate([np.empty(0, np.int64), *listed])
    return ids, np.repeat(np.asarray(biases, dtype=np.float64), [len(group) for group in listed])
