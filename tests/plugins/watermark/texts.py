"""Marked and unmarked texts of a small model, and vLLM's rows for its golden generations."""

from __future__ import annotations

from typing import Any

import numpy as np

from decodekit import Chain, Session
from decodekit.testing import TableAdapter
from decodekit.testing.tokenizers import PiecesTokenizer

__all__ = ["SIZE", "TABLE", "golden_row", "row", "text"]

SIZE = 60


def row(ids: tuple[int, ...]) -> np.ndarray:
    """Entropies of 2.5 to 3.2 nats, and few contexts twice."""
    return np.random.default_rng(list(ids[-3:])).normal(0, 1.5, SIZE).astype(np.float32)


TABLE = TableAdapter(row, SIZE, tokenizer=PiecesTokenizer([bytes([32 + i]) for i in range(SIZE)]))


def text(
    *processors: Any, sampler: Any = "multinomial", seed: int = 1, length: int = 200, stream: int = 0
) -> list[int]:
    session = Session(TABLE, Chain(list(processors), sampler), seed=seed)
    return list(session.generate([1, 2], max_tokens=length, stream=stream, level="none").token_ids)


def golden_row(step: int, size: int = 128) -> np.ndarray:
    """The scores of vLLM's fixture (tests/watermarking/golden_candidates.py): ((37 id + 17 step) % 131 - 56) / 16."""
    return (((np.arange(size) * 37 + step * 17) % 131 - 56) / 16).astype(np.float32)
