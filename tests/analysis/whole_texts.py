"""Brute force: the probability of every text of the small model, those that are cut included."""

from __future__ import annotations

import math
from itertools import product

import numpy as np

from decodekit import Chain, processor
from tests.search.tables import END, Law, NotAgain, Rows

LENGTH = 4


def chained() -> Chain:
    """The chain of `tests.search.tables.chained`: with a state, temperature and truncation."""
    return Chain([processor("temperature", temperature=1.5), NotAgain(), processor("top_k", top_k=3)])


def every_text(next_law: Rows, length: int = LENGTH) -> Law:
    """The probability of each sequence that has ended or has so many tokens, and of no other."""
    found: Law = {}
    for size in range(1, length + 1):
        for ids in product(range(END + 1), repeat=size):
            if END not in ids[:-1] and (ids[-1] == END or size == length):
                found[ids] = math.prod(float(next_law(ids[:at])[ids[at]]) for at in range(size))
    return {ids: p for ids, p in found.items() if p > 0}


def entropy(shares: np.ndarray | list[float]) -> float:
    """In nats."""
    alive = np.asarray(shares)[np.asarray(shares) > 0]
    return -float((alive * np.log(alive)).sum())
