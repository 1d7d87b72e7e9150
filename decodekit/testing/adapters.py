"""Two exact models: conditional tables for tests, and a byte n-gram for tutorials."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256

import numpy as np
from numpy.typing import ArrayLike

from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import ALL, CHEAP, Disclosure, for_each
from decodekit.errors import AdapterError, ContextOverflow, DecodekitError, ParameterError
from decodekit.model.adapter import AdapterInfo, Answer
from decodekit.model.prefix import Prefix
from decodekit.testing.tokenizers import BytesTokenizer
from decodekit.text.tokenizer import Tokenizer

__all__ = ["NGramAdapter", "TableAdapter"]

NextScores = Callable[[tuple[int, ...]], ArrayLike]


class TableAdapter:
    """A model that is a table, or a function, from ids to a row of scores: exact, and equal in every schedule.

    Args:
        rows: the scores after each sequence of ids, as a mapping with tuples as keys (the longest suffix that is a
            key is used; ``()`` is the shortest), or a function of the ids.
        vocab_size: the length of every row.
        tokenizer: for text; None for ids only.
        most: the most it discloses; with a top it behaves like a remote API, and answers with heads.
        context_length: the longest prefix, or None.
    """

    def __init__(
        self,
        rows: Mapping[tuple[int, ...], ArrayLike] | NextScores,
        vocab_size: int,
        *,
        tokenizer: Tokenizer | None = None,
        most: Disclosure = ALL,
        context_length: int | None = None,
    ) -> None:
        self._rows = rows
        self._closed = False
        self.tokenizer = tokenizer
        self.info = AdapterInfo(
            name="table",
            model="table",
            tokenizer_fingerprint=tokenizer.fingerprint if tokenizer is not None else "",
            vocab_size=vocab_size,
            context_length=context_length,
            cheap=most,
            most=most,
            origin="logits" if most.kind == "all" else "logprobs",
            deterministic=True,
            schedule_invariant="everywhere",
        )

    def predict(self, prefixes: Sequence[Prefix], disclose: Disclosure | Sequence[Disclosure] = CHEAP) -> list[Answer]:
        """See `Adapter.predict`."""
        if self._closed:
            raise AdapterError("the table adapter is closed")
        wanted = for_each(disclose, len(prefixes))
        return [self._answer(prefix.token_ids, want) for prefix, want in zip(prefixes, wanted, strict=True)]

    def close(self) -> None:
        """After this, `predict` raises."""
        self._closed = True

    def _answer(self, ids: tuple[int, ...], want: Disclosure) -> Answer:
        size = self.info.vocab_size
        assert size is not None
        if not ids:
            return ParameterError("the prefix is empty, and this model has no begin-of-text token")
        if max(ids) >= size:
            return ParameterError(f"token id {max(ids)} lies outside the vocabulary of {size} tokens")
        if self.info.context_length is not None and len(ids) > self.info.context_length:
            return ContextOverflow(f"{len(ids)} tokens do not fit a context length of {self.info.context_length}")
        try:
            return self._disclosed(Distribution.dense(self._row(ids)), want)
        except DecodekitError as error:
            return error

    def _disclosed(self, row: Distribution, want: Disclosure) -> Distribution:
        if self.info.most.kind == "all":
            return row
        top = min(want.top or self.info.cheap.top or 1, self.info.most.top or 1)
        leading, _ = row.leading(top)
        shown = np.union1d(leading, np.array(want.ids if self.info.most.ids else (), dtype=np.int64))
        edge = float(row.logprobs_of(leading).min())
        return Distribution.head(shown, row.logprobs_of(shown), row.vocab_size, max_hidden=edge)

    def _row(self, ids: tuple[int, ...]) -> ArrayLike:
        if callable(self._rows):
            return self._rows(ids)
        for start in range(len(ids) + 1):
            if ids[start:] in self._rows:
                return self._rows[ids[start:]]
        raise AdapterError(f"the table has no row for {ids} nor for ()")


class NGramAdapter(TableAdapter):
    """A byte n-gram model of a text, interpolated over all shorter contexts: small and exact.

    Args:
        text: the training text.
        order: how many earlier bytes it uses, 0 to 16.
    """

    def __init__(self, text: str, *, order: int = 4) -> None:
        if not text or not 0 <= order <= 16:
            raise ParameterError("an n-gram model needs some text and an order from 0 to 16")
        data = [*text.encode(), 256]
        counts: defaultdict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
        for at, token in enumerate(data):
            for length in range(min(order, at) + 1):
                counts[tuple(data[at - length : at])][token] += 1

        def row(ids: tuple[int, ...]) -> ArrayLike:
            mix = np.full(257, 1e-6)
            for length in range(min(order, len(ids)) + 1):
                seen = counts.get(ids[len(ids) - length :])
                if seen:
                    share = np.zeros(257)
                    share[list(seen)] = list(seen.values())
                    mix = 0.1 * mix + 0.9 * share / share.sum()
            scores: ArrayLike = np.log(mix / mix.sum())
            return scores

        super().__init__(row, 257, tokenizer=BytesTokenizer(), context_length=1_000_000)
        digest = sha256(text.encode() + bytes([order])).hexdigest()
        self.info = AdapterInfo(
            name="ngram",
            model=f"{order + 1}-gram of {len(data) - 1} bytes",
            model_fingerprint=digest,
            tokenizer_fingerprint=BytesTokenizer().fingerprint,
            vocab_size=257,
            context_length=1_000_000,
            cheap=ALL,
            most=ALL,
            origin="logits",
            deterministic=True,
            schedule_invariant="everywhere",
        )
