"""Runs to look at, as the viewer takes them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

import decodekit
from decodekit import Session, Trace
from decodekit.cli.viewer.walk import Walk
from decodekit.testing import NGramAdapter, TableAdapter
from decodekit.testing.tokenizers import PiecesTokenizer
from decodekit.view.run_story import run_story
from tests.hostile_texts import HOSTILE

TEXT = "the cat sat on the mat and the dog sat on the log while the cow ate the hay. " * 4
CHAIN = "temperature=1.5 top_p=0.95"


def samples(n: int = 1, **options: object) -> Trace:
    """A short run of words."""
    call = {"max_tokens": 40, **options}
    return Session(NGramAdapter(TEXT), CHAIN, seed=3).generate_many(["the "], n=n, **call)[0][0].trace


def many_steps(steps: int) -> Trace:
    """A run of tokens without a text, whose steps are there again and again: that is quicker than a long run."""

    def row(ids: tuple[int, ...]) -> np.ndarray:
        return np.random.default_rng(len(ids)).normal(0, 2.2, 40)

    made = Session(TableAdapter(row, 40), "temperature=1.2 top_p=0.95", seed=7).generate([1], max_tokens=50).trace
    return Trace(made.header, [replace(made.steps[at % 50], index=at) for at in range(steps)], made.footer)


def hostile() -> Trace:
    """120 tokens, each of which attacks whoever shows it."""
    pieces = [text.encode("utf-8", "surrogatepass") for text in HOSTILE]

    def row(ids: tuple[int, ...]) -> list[float]:
        return [30.0 if token == len(ids) - 1 else 0.0 for token in range(len(pieces))]

    adapter = TableAdapter(row, len(pieces), tokenizer=PiecesTokenizer(pieces))
    return Session(adapter, CHAIN, seed=7).generate([0], max_tokens=len(pieces)).trace


def walk_of(trace: Trace) -> Walk:
    """At the first token."""
    return Walk(run_story(trace, verdict=decodekit.verify(trace)))
