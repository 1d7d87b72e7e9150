"""Small models whose every sequence can be enumerated."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from decodekit import ALL, Disclosure
from decodekit.testing import TableAdapter
from decodekit.types import Floats

SIZE = 4


def scores(ids: Sequence[int]) -> Floats:
    """The row after these ids: random, and always the same."""
    return np.random.default_rng([5, *ids]).normal(0, 1.5, SIZE)


def model(most: Disclosure = ALL) -> TableAdapter:
    return TableAdapter(scores, SIZE, most=most)


def logprob(ids: Sequence[int], temperature: float, prompt: tuple[int, ...] = (0,)) -> float:
    """Log-probability of a sequence after the prompt, in nats."""
    total = 0.0
    for at, token in enumerate(ids):
        row = scores((*prompt, *ids[:at])) / temperature
        total += float(row[token] - np.log(np.exp(row).sum()))
    return total


def texts(length: int, temperature: float) -> Iterator[tuple[tuple[int, ...], float]]:
    """All sequences of this length, with their probabilities."""
    for ids in itertools.product(range(SIZE), repeat=length):
        yield ids, math.exp(logprob(ids, temperature))


def neighbours(ids: tuple[int, ...]) -> set[tuple[int, ...]]:
    """All sequences at edit distance 1, and itself."""
    found = {ids[:at] + ids[at + 1 :] for at in range(len(ids))}
    for at in range(len(ids) + 1):
        for token in range(SIZE):
            found.add((*ids[:at], token, *ids[at:]))
            if at < len(ids):
                found.add((*ids[:at], token, *ids[at + 1 :]))
    return found
