"""SynthID-Text: layers of keyed bits, each of which prefers the tokens whose bit is 1 (tournament sampling)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from decodekit import ALL, Context, Detection, Disclosure, Distribution, ParameterError
from decodekit.plugin.traits import Kind
from decodekit_watermark.contexts import Ids, as_ids, windows
from decodekit_watermark.keys import Keyed
from decodekit_watermark.tails import log_binomial_tail, log_weighted_tail
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

    def detect(
        self, ids: Iterable[int], *, weights: Literal["equal", "falling"] | Sequence[float] = "equal"
    ) -> Detection:
        """Look for the mark in a text.

        Args:
            ids: the tokens of the text, without its prompt.
            weights: of the layers. 'equal' counts the ones of all; 'falling' is the weighted mean of the published
                detector, from 10 for the first layer to 1 for the last, as late layers say less where a text has little
                choice; or a number above 0 for each layer.

        Returns:
            How many tokens count, one for each different context, and the weighted mean of their bits. In a text
            without the mark the ones of each layer are binomial, and with equal weights those of all layers: that
            p-value is exact. With others it is an approximation, right to a few percent from three layers on.
            Where the hashes of two tokens agree in the last bits, all their bits do, so that in a long text (from about
            500 tokens at the default size) both are too small; `table_size` mends that.

        Raises:
            ParameterError: not one weight above 0 for each layer.
        """
        bits, given = self._counted(ids), self._weights(weights)
        count, ones = len(bits), bits.sum(axis=0)
        if not count:
            return Detection(0, 0.0, 0.0)
        total, share = float((given * ones).sum()), float(_table(self.table_seed, self.table_size).mean())
        if (given == given[0]).all():
            tail = log_binomial_tail(int(ones.sum()), count * len(given), share)
        else:
            tail = log_weighted_tail(total, given, count, share)
        return Detection(count, total / (count * float(given.sum())), tail)

    def log_odds(
        self, ids: Iterable[int], *, beta: Sequence[float], delta: Sequence[Sequence[float]], base_rate: float = 0.5
    ) -> float:
        """The log-odds that a text has the mark, by the Bayesian detector with parameters that somebody has trained.

        The score that transformers and the published code give is ``1 / (1 + exp(-log_odds))``. Both leave out tokens
        that follow a beginning of zeros, as `skip_first` does. A base rate and training texts are behind this number:
        it is no p-value, and holds for texts like those.

        Args:
            ids: the tokens of the text, without its prompt.
            beta: [layers], of the trained model.
            delta: [layers, layers], of the trained model; what is on or above its diagonal has no effect.
            base_rate: how probable the mark is before a text is seen.

        Returns:
            In nats.

        Raises:
            ParameterError: parameters for another number of layers, or a rate that is not between 0 and 1.

        Source: Dathathri et al. 2024, supplement; transformers ``BayesianDetectorModel``.
        """
        layers = len(self.secret)
        biases, slopes = np.asarray(beta, dtype=np.float64), np.asarray(delta, dtype=np.float64)
        if biases.shape != (layers,) or slopes.shape != (layers, layers):
            raise ParameterError(
                f"beta and delta have the shapes {biases.shape} and {slopes.shape}, and the key has {layers} layers: "
                f"they are ({layers},) and ({layers}, {layers})"
            )
        if not 0 < base_rate < 1:
            raise ParameterError(f"base_rate is a probability between 0 and 1, not {base_rate!r}")
        bits = self._counted(ids)
        two = 1 / (1 + np.exp(-(bits @ np.tril(slopes, k=-1).T + biases)))  # that a match was between two tokens
        surprise = np.log((bits + 0.5) * two + 1 - two).sum()
        return math.log(base_rate) - math.log1p(-base_rate) + float(surprise)

    def _counted(self, ids: Iterable[int]) -> NDArray[np.float64]:
        """The bits of the tokens that count, as float64[n, layers]: the first of each different context."""
        output = as_ids(ids)
        rows, tokens = self._contexts(output)[:-1], output[self.width if self.skip_first else 0 :]
        if not len(rows):
            return np.empty((0, len(self.secret)))
        _, first = np.unique(rows, axis=0, return_index=True)
        return self.bits(rows[first], tokens[first])

    def _weights(self, given: str | Sequence[float]) -> NDArray[np.float64]:
        layers = len(self.secret)
        if isinstance(given, str):
            if given not in ("equal", "falling"):
                raise ParameterError(f"weights is 'equal', 'falling', or a number for each layer, not {given!r}")
            return np.ones(layers) if given == "equal" else np.linspace(10, 1, layers)
        weights = np.asarray(given, dtype=np.float64)
        if weights.shape != (layers,) or not (np.isfinite(weights) & (weights > 0)).all():
            raise ParameterError(f"weights is one number above 0 for each of the {layers} layers, not {given!r}")
        return weights


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
