"""Models with planted faults: an audit that does not catch them proves nothing.

Each answers with the rows that the audited model gave, so that a fault is looked for where the model's own would be.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from types import MappingProxyType
from typing import Final, Literal

import numpy as np

from decodekit.analysis.audit.material import Rows, Text
from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import ALL, CHEAP, Disclosure
from decodekit.model.adapter import AdapterInfo, Answer
from decodekit.model.prefix import Prefix
from decodekit.text.tokenizer import Tokenizer

__all__ = ["FAULTS", "Fault", "Planted", "shifted", "shortened"]

Fault = Literal["none", "run", "batch size", "batch order", "batch neighbours", "cache", "ancestors", "no cache"]

FAULTS: Final[Mapping[Fault, tuple[str, ...]]] = MappingProxyType(
    {
        "none": (),
        "run": ("repeat",),
        "batch size": ("batch size",),
        "batch order": ("batch order",),
        "batch neighbours": ("batch neighbours",),
        "cache": ("cache",),
        "ancestors": ("ancestors",),
        "no cache": (),
    }
)
"""The axes on which each fault must be caught; 'none' must be exact on all, 'no cache' must not pass as a cache."""

_SIZE = 0.2  # nats; of the fault
_PERIOD = 1009


class Planted:
    """An adapter that answers from recorded rows, and has one fault.

    Args:
        texts: the questions that were recorded.
        rows: their answers. Hidden tokens are left out of them.
        info: of the adapter that gave them.
        fault: what moves its answers: 'run' the number of calls, 'batch size' the number of prefixes in a call, 'batch
            order' the place in it, 'batch neighbours' the other prefixes in it, 'cache' whether a shorter prefix was
            asked for before, 'ancestors' whether one is in the same call; 'no cache': none, and it never has a cached
            token.
    """

    def __init__(self, texts: Sequence[Text], rows: Rows, info: AdapterInfo, fault: Fault) -> None:
        self.info = replace(info, most=ALL, cheap=ALL, context_length=None)
        self.tokenizer: Tokenizer | None = None
        self.caches = True
        self._fault, self._calls, self._held = fault, 0, dict[bytes, int]()
        answers = {place: row.truncated() for place, row in rows.items()}
        self._rows = {texts[i].prefixes[at].digest: row for (i, at), row in answers.items()}
        self._any = next(iter(answers.values()))

    def predict(self, prefixes: Sequence[Prefix], disclose: Disclosure | Sequence[Disclosure] = CHEAP) -> list[Answer]:
        """See `decodekit.model.adapter.Adapter.predict`."""
        self._calls += 1
        answers: list[Answer] = []
        for place, prefix in enumerate(prefixes):
            row = self._rows.get(prefix.digest, self._any)
            moved = self._moved(prefixes, place)
            answers.append(shifted(row, moved) if moved else copy(row))  # no stored answer
        for prefix in prefixes:
            self._held[prefix.digest] = len(prefix)
        return answers

    def cached_tokens(self, prefix: Prefix) -> int:
        """The length of the longest shorter prefix that was asked for."""
        return 0 if self._fault == "no cache" else self._cached(prefix)

    def close(self) -> None:
        """Nothing is open."""

    def _moved(self, prefixes: Sequence[Prefix], place: int) -> int:
        """0, or a number that decides how the row is moved."""
        prefix = prefixes[place]
        if self._fault == "run":
            return self._calls
        if self._fault == "batch size":
            return len(prefixes) - 1
        if self._fault == "batch order":
            return place
        if self._fault == "batch neighbours":
            others = (each.digest for at, each in enumerate(prefixes) if at != place)
            return sum(map(zlib.crc32, others)) % 1009
        if self._fault == "cache":
            return self._cached(prefix)
        if self._fault == "ancestors":
            return sum(len(each) < len(prefix) and each in set(prefix.ancestors()) for each in prefixes)
        return 0

    def _cached(self, prefix: Prefix) -> int:
        ids = prefix.token_ids
        return next((n for n in range(len(ids) - 1, 0, -1) if Prefix(ids[:n]).digest in self._held), 0)


def shortened(texts: Sequence[Text], tokens: int) -> list[Text]:
    """The beginnings of the texts: a control needs no more."""
    return [Text(text.prefixes[:tokens], text.ids[:tokens]) for text in texts]


def shifted(row: Distribution, by: int) -> Distribution:
    """The row with each score moved by up to `_SIZE`; by another amount for another number."""
    ids = np.arange(len(row.row)) if row.token_ids is None else row.token_ids % _PERIOD  # an id may be a hash
    return _as_answer(row.with_scores(row.scores + _SIZE * np.cos(ids * 0.7 + by)), row)


def _as_answer(moved: Distribution, like: Distribution) -> Distribution:
    """The moved row as a model's own answer."""
    if moved.token_ids is None:
        return Distribution.dense(moved.scores, origin=like.origin, schedule=like.schedule)
    return Distribution.listed(
        moved.token_ids, moved.scores, moved.vocab_size, origin=like.origin, schedule=like.schedule
    )
