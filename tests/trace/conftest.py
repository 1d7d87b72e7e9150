"""Runs to write, read and damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import decodekit
from decodekit.testing import NGramAdapter, TableAdapter

TEXT = "the cat sat on the mat and the dog sat on the log while the cow ate the hay. " * 4

CHAINS = {
    "truncated": [("temperature", {"temperature": 0.8}), ("top_p", {"top_p": 0.95})],
    "short": [("top_k", {"top_k": 40}), ("temperature", {"temperature": 0.8})],
    "untruncated": [("temperature", {"temperature": 1.2})],
    "bare": [],
}


def wide(ids: tuple[int, ...]) -> np.ndarray:
    """A vocabulary of 3,000 with a long tail, different after every prefix."""
    return np.random.default_rng(list(ids)).normal(0, 2.2, 3000).astype(np.float32)


@pytest.fixture
def ngram() -> NGramAdapter:
    return NGramAdapter(TEXT)


@pytest.fixture
def wide_adapter() -> TableAdapter:
    return TableAdapter(wide, 3000)


def chain(name: str, sampler: str = "multinomial") -> decodekit.Chain:
    return decodekit.Chain([decodekit.processor(n, **params) for n, params in CHAINS[name]], sampler)


@pytest.fixture
def written(tmp_path: Path, ngram: NGramAdapter) -> Path:
    """The trace of a short run."""
    path = tmp_path / "run.jsonl"
    decodekit.Session(ngram, chain("truncated"), seed=7).generate("the ", max_tokens=6, trace=path)
    return path
