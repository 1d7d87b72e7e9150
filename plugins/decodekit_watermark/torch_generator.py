"""The random numbers of torch's CPU generator, ``std::mt19937``: what its ``randperm`` and ``randint`` make of them.

So the marks of transformers are written and found without torch. torch seeds the generator with the lower 32 bits, and
its ``randperm`` exchanges place i with place ``i + word % (n - i)``, for i from 0 on.

Source: torch's ``randperm_cpu`` and ``mt19937``, the same in all versions up to 2.13; other devices differ.
"""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

__all__ = ["in_permutation_head", "permutation_head", "words"]

Ids = NDArray[np.int64]


def words(seed: int, count: int) -> NDArray[np.uint32]:
    """The first words after ``manual_seed(seed)``, as uint32[count]."""
    # NumPy's legacy generator is std::mt19937 with the same seeding, frozen by its compatibility policy.
    _here.generator.seed(seed & 0xFFFFFFFF)
    return np.frombuffer(_here.generator.bytes(4 * count), dtype="<u4")


def permutation_head(seed: int, size: int, count: int) -> Ids:
    """The first items of ``torch.randperm(size)`` after ``manual_seed(seed)``, as int64[count].

    Args:
        seed: 0 to 2**64 - 1.
        size: how many items are permuted.
        count: less than ``size``.
    """
    to = _exchanges(seed, size, count)
    times = np.arange(count)
    # The last earlier exchange with the same place; -1 where there was none.
    order = np.argsort(to, kind="stable")
    same = to[order][1:] == to[order][:-1]
    before = np.full(count, -1)
    before[order[1:][same]] = order[:-1][same]
    # What stands at place i just before exchange i: what exchange `parent` moved there, which stood at place `parent`.
    last = np.full(size, -1)
    last[to] = times
    parent = np.where(to == times, before, last[:count])
    root = np.where(parent < 0, times, parent)
    while (root[root] != root).any():
        root = root[root]
    return np.where(before < 0, to, root[np.maximum(before, 0)])


def in_permutation_head(item: int, seed: int, size: int, count: int) -> bool:
    """Whether the item is among `permutation_head`; faster than making all of it."""
    to = _exchanges(seed, size, count)
    place, start = item, 0
    while True:
        if (to[start : place + 1] == place).any():
            return True
        if place >= count:
            return False
        start, place = place + 1, int(to[place])


class _Here(threading.local):
    """One generator per thread, seeded each time: creating one gathers entropy, which takes a hundred times as long."""

    def __init__(self) -> None:
        self.generator = np.random.RandomState(0)


_here = _Here()


def _exchanges(seed: int, size: int, count: int) -> Ids:
    """With which place each of the first places is exchanged."""
    times = np.arange(count)
    return times + words(seed, count).astype(np.int64) % (size - times)
