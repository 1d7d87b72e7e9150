"""Small exact models to run sessions over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from decodekit import CHEAP, Adapter, Chain, Disclosure, Prefix, Session, processor
from decodekit.testing import NGramAdapter, TableAdapter

TEXT = "the cat sat on the mat, and the dog sat on the log — naïve, but dry. " * 4
V = 50


def wide(ids: Sequence[int]) -> np.ndarray:
    """Fifty scores that depend on every id."""
    return np.random.default_rng(list(ids)).normal(0, 2, V).astype(np.float32)


def table(**options: Any) -> TableAdapter:
    return TableAdapter(wide, V, **options)


def chain(*parts: tuple[str, dict[str, Any]], sampler: str = "multinomial") -> Chain:
    return Chain([processor(name, **params) for name, params in parts], sampler)


class Around(Adapter):
    """Another adapter, with something done on the way: ``act`` sees each question and gives the answers."""

    def __init__(self, inner: Adapter, act: Callable[..., Any], **info: Any) -> None:
        from dataclasses import replace

        self.inner, self.act = inner, act
        self.asked: list[tuple[list[Prefix], list[Disclosure]]] = []
        self.closed = 0
        self._info = replace(inner.info, **info)

    @property
    def info(self):
        return self._info

    @property
    def tokenizer(self):
        return self.inner.tokenizer

    def predict(self, prefixes, disclose=CHEAP):
        wanted = [disclose] * len(prefixes) if isinstance(disclose, Disclosure) else list(disclose)
        self.asked.append((list(prefixes), wanted))
        return self.act(self.inner, list(prefixes), wanted)

    def close(self):
        self.closed += 1
        self.inner.close()


def plain(inner, prefixes, wanted):
    return inner.predict(prefixes, wanted)


@pytest.fixture
def ngram() -> NGramAdapter:
    return NGramAdapter(TEXT)


@pytest.fixture
def session(ngram) -> Session:
    return Session(ngram, chain(("temperature", {"temperature": 0.9})), seed=7)
