"""SynthID-Text: layers of keyed bits, each of which prefers the tokens whose bit is 1 (tournament sampling)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from decodekit import ALL, Context, Detection, Disclosure, Distribution
from decodekit.plugin.traits import Kind
from decodekit_watermark.contexts import Ids, as_ids, windows
from decodekit_watermark.keys import Keyed
from decodekit_watermark.tails import log_binomial_tail
from decodekit_watermark.torch_generator import words

__all__ = ["SynthID"]

_MULTIPLIER, _INCREMENT = 6364136223846793005, 1


class SynthID(Keyed):
    """Mark a text with several layers of keyed bits; over all keys the distribution of a token stays what it was.

    Each layer of a key asks for a bit of every token; tokens with a 1 gain what those with a 0 lose. Put it after
    temperature and truncations. A context that was there before is left as it is. The key is one number for each layer,
    with commas between them.

    Args:
        synthid: how long the n-grams are: the token and those before it (ngram_len; 5 is usual).
        table_size: the size of the table of bits. It takes the hash modulo this, so that of each key number only the
            last bits matter: 16 at the default size.
        table_seed: which table.
        history: how many steps back a context is looked for.
        skip_first: leave the first ``synthid - 1`` tokens unmarked, in place of a context that begins with zeros.

    Formula: p_i * (1 + g_i - sum_j p_j g_j) for each layer in turn, g_i = the bit of hash(the ids before, i, key)
    Edges: at the beginning zeros stand for the ids before, and never those of the prompt; one token alone stays.
    Source: Dathathri et al. 2024 (Nature 634); transformers ``SynthIDTextWatermarkLogitsProcessor``.
    Engines: transformers, in float32, where a token without probability gets -3.4e38. The mark of Google's own models
    has another hash.
    Example: synthid = 3, key = "public"

    Raises:
        ParameterError: the key is missing, or none.
    """

    mark: ClassVar[str] = "synthid"
    public: ClassVar[tuple[int, ...]] = (654, 400, 836, 123, 340, 443, 597, 160, 57)  # of transformers' documentation
    largest_key: ClassVar[int] = 2**63 - 1
    kind: ClassVar[Kind] = "reshaping"
    random: ClassVar[bool] = False
    needs: ClassVar[Disclosure] = ALL

    synthid: Annotated[int, Field(ge=2, le=64)]
    table_size: Annotated[int, Field(ge=2, le=2**24)] = 65_536
    table_seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    history: Annotated[int, Field(ge=1, le=1_000_000)] = 1024
    skip_first: bool = False

    @property
    def width(self) -> int:
        return self.synthid - 1

    @property
    def scheme_name(self) -> str:
        return f"{self.mark}-{self.table_size}-{self.table_seed}"

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """`Undisclosed` on a head: each layer needs the probability of all tokens with a 1."""
        dist.require_complete("the probability of the tokens with a 1")
        rows = self._contexts(np.asarray(ctx.output_ids, dtype=np.int64))
        if not len(rows) or (rows[:-1][-self.history :] == rows[-1]).all(axis=1).any():
            return dist
        ids = dist.support()
        if len(ids) == 1:
            return dist
        before = after = dist.logprobs_of(ids)
        for bits in self.bits(rows[-1:], ids).T:
            zeros = _log_sum(after[bits == 0])  # 1 + bit - mass of the ones is the mass of the zeros + bit
            after = after + np.where(bits == 0, zeros, np.log1p(np.exp(zeros)))
        return dist.add(ids, after - before)

    def _contexts(self, output: Ids) -> Ids:
        """The contexts so far, the present one last: int64[n, width], without those that are skipped."""
        return windows((0,) * self.width, output, self.width)[self.width if self.skip_first else 0 :]

    def bits(self, contexts: Ids, ids: Ids) -> NDArray[np.float64]:
        """The bits of these tokens, 0.0 or 1.0, as float64[n, layers].

        Args:
            contexts: int64[1 or n, width], the ids before them.
            ids: int64[n], the tokens.
        """
        hashed = np.ones(len(contexts), dtype=np.int64)
        for column in contexts.T:
            hashed = _added(hashed, column)
        hashed = _added(_added(hashed, ids)[:, np.newaxis], np.array(self.secret))
        bits: NDArray[np.float64] = _table(self.table_seed, self.table_size)[hashed % self.table_size]
        return bits

    def detect(self, ids: Iterable[int]) -> Detection:
        """Look for the mark in a text.

        Args:
            ids: the tokens of the text, without its prompt.

        Returns:
            How many tokens count, one for each different context, and the mean of their bits; the number of ones among
            all bits is binomial in a text without the mark. Where the hashes of two tokens agree in the last bits, all
            their bits do, so that in a long text (from about 500 tokens at the default size) the p-value is too small;
            `table_size` mends that.
        """
        output = as_ids(ids)
        rows, tokens = self._contexts(output)[:-1], output[self.width if self.skip_first else 0 :]
        _, first = np.unique(rows, axis=0, return_index=True) if len(rows) else (None, np.empty(0, dtype=np.int64))
        ones = int(self.bits(rows[first], tokens[first]).sum())
        count, layers = len(first), len(self.secret)
        share = float(_table(self.table_seed, self.table_size).mean())
        mean = ones / (count * layers) if count else 0.0
        return Detection(count, mean, log_binomial_tail(ones, count * layers, share))


def _log_sum(logprobs: NDArray[np.float64]) -> float:
    """The logarithm of the sum of the probabilities; minus infinity of none."""
    largest = float(logprobs.max(initial=-math.inf))
    return largest if largest == -math.inf else largest + math.log(float(np.exp(logprobs - largest).sum()))


def _added(hashed: Ids, data: Ids) -> Ids:
    """One step of the hash, in int64 that wraps around."""
    return (hashed + data) * np.int64(_MULTIPLIER) + np.int64(_INCREMENT)


@lru_cache(maxsize=4)
def _table(seed: int, size: int) -> NDArray[np.float64]:
    """``torch.randint(0, 2, (size,))`` after ``manual_seed(seed)``."""
    return (words(seed, size) & 1).astype(np.float64)
