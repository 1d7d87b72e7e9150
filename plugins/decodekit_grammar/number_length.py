"""A bound on the length of numbers: some models go on with digits without end."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from decodekit.text.tokenizer import Tokenizer
from decodekit.text.tokenizer_cache import cached_for
from decodekit_grammar.region import Region
from decodekit_grammar.vocabulary import Vocabulary

__all__ = ["NumberLength"]

_BEGINS, _GOES_ON, _DIGITS = b"-0123456789", b"-+.eE0123456789", b"0123456789"
_RUN = re.compile(rb"[-+.eE0-9]*")
_EXPONENT = re.compile(rb"[-+]?[0-9]*")
_MOST_EXPONENT = 2  # digits: any number with more might be infinite as a float64


class _Runs(NamedTuple):
    """For each token, int64[vocabulary].

    Args:
        inside: the characters of a number that it begins with, inside of a number.
        outside: likewise where no number has begun.
        exponent: the digits of an exponent that it begins with, inside of an exponent.
        whole_exponent: the digits of an exponent that begins in these characters.
    """

    inside: NDArray[np.int64]
    outside: NDArray[np.int64]
    exponent: NDArray[np.int64]
    whole_exponent: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class NumberLength:
    """How long the number is that is being written in a JSON text.

    Args:
        most: the most characters of a number.
        runs: of the vocabulary.
        written: the characters of the present number; 0 outside of one.
        region: where in the text JSON stands.
        exponent: the digits of its exponent; None where it has none so far.
    """

    most: int
    runs: _Runs
    region: Region
    written: int = 0
    exponent: int | None = None

    @classmethod
    def start(cls, tokenizer: Tokenizer | None, vocabulary: Vocabulary, most: int, region: Region) -> NumberLength:
        """Where nothing is written."""
        return cls(most, cached_for(tokenizer, (NumberLength,), lambda: _runs(vocabulary)), region)

    def bounded(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A mask without the tokens that make a number too long; the same one where nothing else is allowed."""
        if not self.region.in_json:
            return mask
        runs = self.runs
        left = mask & ((runs.inside if self.written else runs.outside) <= self.most - self.written)
        if self.exponent is not None:
            left &= runs.exponent <= _MOST_EXPONENT - self.exponent
        elif self.written:
            left &= runs.whole_exponent <= _MOST_EXPONENT
        return left if left.any() else mask

    def after(self, data: bytes) -> NumberLength:
        """The same after these bytes."""
        written, exponent, region = self.written, self.exponent, self.region
        for byte in data:
            if not region.in_json:
                written, exponent = 0, None
            elif byte in (_GOES_ON if written else _BEGINS):
                written += 1
                if exponent is not None:
                    exponent += byte in _DIGITS
                elif byte in b"eE":
                    exponent = 0
            else:
                written, exponent = 0, None
            region = region.after(byte)
        return replace(self, written=written, exponent=exponent, region=region)


def _runs(vocabulary: Vocabulary) -> _Runs:
    found = np.zeros((4, len(vocabulary.texts)), dtype=np.int64)
    for token_id, data in enumerate(vocabulary.texts):
        run = _matched(_RUN, data)
        if run:
            first, _, exponent = run.lower().partition(b"e")
            found[:, token_id] = (
                len(run),
                len(run) if run[0] in _BEGINS else 0,
                len(_matched(_EXPONENT, run).lstrip(b"-+")),
                len(_matched(_EXPONENT, exponent).lstrip(b"-+")) if first != run.lower() else 0,
            )
    return _Runs(*found)


def _matched(pattern: re.Pattern[bytes], data: bytes) -> bytes:
    match = pattern.match(data)
    return b"" if match is None else match.group()
