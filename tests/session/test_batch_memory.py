"""Rows that are drawn from one by one leave nothing behind until the end of their round."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from typing import Any

import numpy as np

from decodekit import CHEAP, AdapterInfo, Distribution, Prefix, Session, processor

V, SEQUENCES = 50_000, 16
ROW = np.random.default_rng(0).normal(0, 3, V).astype(np.float32)


class Rows:
    info = AdapterInfo("rows", "rows", vocab_size=V, concurrency=SEQUENCES)
    tokenizer = None

    def predict(self, prefixes: Sequence[Prefix], disclose: Any = CHEAP) -> list[Distribution]:
        return [Distribution.dense(ROW) for _ in prefixes]

    def close(self) -> None:
        """Nothing is open."""


def test_the_words_of_one_row_at_a_time_are_held() -> None:
    session = Session(Rows(), [processor("temperature", temperature=0.8)], seed=1)
    session.generate_many([[1]], n=SEQUENCES, max_tokens=1)
    tracemalloc.start()
    try:
        session.generate_many([[1]], n=SEQUENCES, max_tokens=2)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    rows, words = SEQUENCES * ROW.nbytes, 8 * V
    assert most < 2 * rows + 4 * words  # all words at once would be 16 times 8 V
