"""Random rows and histories, and one processor run on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

import decodekit
from decodekit import Chain, Context, Distribution
from decodekit.draw.context import TokenIds
from decodekit.text.tokenizer import Tokenizer

TIGHT = {"rtol": 1e-6, "atol": 2e-6}  # float32 logits of up to 20 nats


def context(prompt: Sequence[int] = (), output: Sequence[int] = (), tokenizer: Tokenizer | None = None) -> Context:
    return Context(TokenIds(prompt), TokenIds(output), tokenizer)


def apply(name: str, dist: Distribution, ctx: Context, **parameters: Any) -> Distribution:
    return Chain([decodekit.processor(name, **parameters)]).apply(dist, ctx)


def scores(name: str, row: np.ndarray, ctx: Context, **parameters: Any) -> np.ndarray:
    """float64[V], -inf for a token without probability."""
    return apply(name, Distribution.dense(row), ctx, **parameters).scores_of(np.arange(len(row)))


def cases(count: int, seed: int, *, longest: int = 80) -> Iterator[tuple[np.random.Generator, np.ndarray, list[int]]]:
    """A generator, float32 logits over 2 to 120 tokens, and a history that repeats itself in words and in passages."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        size = int(rng.integers(2, 120))
        row = rng.normal(0, 4, size).astype(np.float32)
        yield rng, row, history(rng, size, longest)


def history(rng: np.random.Generator, size: int, longest: int) -> list[int]:
    """Up to ``longest`` ids below ``size``, often few distinct ones, often with copied passages."""
    ids = rng.integers(0, int(rng.integers(1, size + 1)), int(rng.integers(0, longest))).tolist()
    for _ in range(int(rng.integers(0, 4))):
        start, length = int(rng.integers(0, len(ids) + 1)), int(rng.integers(0, 9))
        ids += ids[start : start + length]
    return ids[-longest:]


def split(rng: np.random.Generator, ids: Sequence[int]) -> tuple[list[int], list[int]]:
    """A prompt and an output that are these ids together."""
    at = int(rng.integers(0, len(ids) + 1))
    return list(ids[:at]), list(ids[at:])
