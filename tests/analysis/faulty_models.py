"""A table model with a cache that it tells about, and models of it with one fault each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from decodekit import CHEAP, Disclosure, Distribution, Prefix
from decodekit.testing import TableAdapter

V = 50


def row(ids: Sequence[int]) -> np.ndarray:
    """A row that depends on every id."""
    digest = hashlib.blake2b(np.asarray(ids, dtype=np.int64).tobytes(), digest_size=8).digest()
    return (np.random.default_rng(int.from_bytes(digest, "little")).normal(size=V) * 2).astype(np.float32)


class Cached(TableAdapter):
    """Without a fault: `moved` says by how many nats an answer moves."""

    caches = True

    def __init__(self, size: float = 0.3, most: Disclosure | None = None) -> None:
        super().__init__(row, V, **({} if most is None else {"most": most}))
        self.size, self.held, self.calls = size, set[tuple[int, ...]](), 0
        self.threads = 2

    def predict(self, prefixes: Sequence[Prefix], disclose: Any = CHEAP) -> Any:
        self.calls += 1
        answers: list[Any] = super().predict(prefixes, disclose)
        for at, prefix in enumerate(prefixes):
            moved = self.size * self.moved(prefixes, at)
            if moved and isinstance(answers[at], Distribution):
                answers[at] = Distribution.dense(answers[at].scores + moved * np.cos(np.arange(V)))
            self.held.add(prefix.token_ids)
        return answers

    def cached_tokens(self, prefix: Prefix) -> int:
        ids = prefix.token_ids
        return max((n for n in range(1, len(ids)) if ids[:n] in self.held), default=0)

    def moved(self, prefixes: Sequence[Prefix], at: int) -> float:
        return 0.0


class NeverTheSame(Cached):
    def moved(self, prefixes: Sequence[Prefix], at: int) -> float:
        return float(np.sin(self.calls))


class ByTheSize(Cached):
    def moved(self, prefixes: Sequence[Prefix], at: int) -> float:
        return float(len(prefixes) > 1)


class ByThePlace(Cached):
    def moved(self, prefixes: Sequence[Prefix], at: int) -> float:
        return at / len(prefixes)


class ByTheNeighbours(Cached):
    """What a mixture of experts does whose experts have room for so many tokens of a batch."""

    def moved(self, prefixes: Sequence[Prefix], at: int) -> float:
        others = [each.token_ids[-1] for place, each in enumerate(prefixes) if place != at]
        return float(np.sin(sum(others)))


class ByTheCache(Cached):
    def moved(self, prefixes: Sequence[Prefix], at: int) -> float:
        return float(self.cached_tokens(prefixes[at]) > 0)


class InPortions(Cached):
    """Right when it goes on by one token or from nothing, and wrong for a few tokens behind a cached part."""

    def moved(self, prefixes: Sequence[Prefix], at: int) -> float:
        new = len(prefixes[at]) - self.cached_tokens(prefixes[at])
        return float(1 < new < len(prefixes[at]))


class ByTheAncestors(Cached):
    def moved(self, prefixes: Sequence[Prefix], at: int) -> float:
        ids = prefixes[at].token_ids
        return float(any(ids[: len(each)] == each.token_ids for each in prefixes if len(each) < len(ids)))


class Memoised(Cached):
    """It computes each answer once, moved at random, and says so."""

    def cached_tokens(self, prefix: Prefix) -> int:
        return len(prefix) if prefix.token_ids in self.held else super().cached_tokens(prefix)


class WithoutHits(Cached):
    def cached_tokens(self, prefix: Prefix) -> int:
        return 0
