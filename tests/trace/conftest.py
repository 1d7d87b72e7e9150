"""Runs to write, read and damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import decodekit
from decodekit.testing import NGramAdapter, TableAdapter

from .forged_runs import RUNS, STRONGEST, word_of
from .forging import Line, load

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


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Line]]:
    """Traces in which nothing is forged."""
    folder = tmp_path_factory.mktemp("honest")
    lines = {}
    for i, (name, (adapter, parts, prompt, call)) in enumerate(RUNS.items()):
        path = folder / f"{i}.jsonl"
        chain = decodekit.Chain([decodekit.processor(part, **params) for part, params in parts])
        decodekit.Session(adapter, chain, seed=7).generate(prompt, trace=path, **call)
        lines[name] = load(path)
        assert word_of(lines[name], folder / "copy.jsonl") == STRONGEST[call["level"]], name
    assert any("abandoned" in line["content"] for line in lines["proof"])
    return lines
