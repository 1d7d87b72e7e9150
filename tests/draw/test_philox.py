"""Philox over arrays against NumPy's own generator, and the words of many rows against those of each row alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.random import Philox

from decodekit import Randomness
from decodekit.draw import randomness
from decodekit.draw.philox import blocks
from decodekit.draw.randomness import words_of_rows
from tests.draw.test_randomness import VECTORS

MOST = 2**64 - 1
u64 = st.integers(0, MOST)
block = st.tuples(u64, u64, u64, u64, u64, u64)  # the counter, then the key


def numpy_block(counter: tuple[int, ...], key: tuple[int, ...]) -> list[int]:
    """By NumPy, which counts up by one before it makes a block."""
    whole = sum(part << (64 * i) for i, part in enumerate(counter)) - 1 & (1 << 256) - 1
    before = np.array([whole >> (64 * i) & MOST for i in range(4)], dtype=np.uint64)
    words: list[int] = Philox(counter=before, key=np.array(key, dtype=np.uint64)).random_raw(4).tolist()
    return words


@settings(max_examples=100)
@given(st.lists(block, min_size=1, max_size=12))
@example([(0, 0, 0, 0, 0, 0), (MOST, MOST, MOST, MOST, MOST, MOST)])
@example([(0xFFFFFFFF, 1 << 32, 0xFFFFFFFF, 1 << 32, 0, MOST)])  # the edges of the halves that are multiplied
def test_every_block_is_numpys(wanted: list[tuple[int, ...]]) -> None:
    numbers = np.array(wanted, dtype=np.uint64).T
    found = blocks(numbers[:4], numbers[4:])
    assert found.T.tolist() == [numpy_block(each[:4], each[4:]) for each in wanted]


def test_one_key_serves_all_counters_and_the_arguments_are_left_alone() -> None:
    counters = np.arange(4 * 9, dtype=np.uint64).reshape(4, 9)
    key = np.array([[7], [MOST]], dtype=np.uint64)
    kept, of_key = counters.copy(), key.copy()
    assert np.array_equal(blocks(counters, key), blocks(counters, key.repeat(9, axis=1)))
    assert np.array_equal(counters, kept) and np.array_equal(key, of_key)


@pytest.mark.parametrize(("seed", "domain", "step", "stream", "draw", "token", "word"), [v[:7] for v in VECTORS])
def test_each_published_word(seed: int, domain: int, step: int, stream: int, draw: int, token: int, word: str) -> None:
    counter = np.array([[token // 4 + 1], [step], [stream], [draw]], dtype=np.uint64)
    found = blocks(counter, np.array([[seed], [domain]], dtype=np.uint64))
    assert f"{int(found[token % 4, 0]):016x}" == word


row = st.tuples(u64, u64, u64, st.integers(0, 4), u64, st.lists(st.integers(0, 2**63 - 1), max_size=9))


@settings(max_examples=60)
@given(st.lists(row, max_size=6), st.sampled_from([0, 5, 10**9]))
@example([(1, 2, 3, 0, 4, []), (MOST, MOST, MOST, 4, MOST, [2**63 - 1, 0, 0, 3])], 0)
def test_the_words_of_many_rows_are_those_of_each_row(rows: list[tuple], many: int) -> None:
    bound = [Randomness(seed, stream).at(step, domain, draw) for seed, stream, step, domain, draw, _ in rows]
    lanes = [np.array(each[-1], dtype=np.int64) for each in rows]
    together = np.concatenate([np.empty(0, dtype=np.int64), *lanes])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(randomness, "_MANY_LANES", many)  # both ways, whatever the number of lanes
        found = words_of_rows(bound, list(map(len, lanes)), together)
    expected = [word for noise, ids in zip(bound, lanes, strict=True) for word in noise.words(ids).tolist()]
    assert found.dtype == np.uint64 and found.tolist() == expected
