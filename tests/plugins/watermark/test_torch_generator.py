"""The lists of transformers' marks, made without torch, are torch's own."""

from __future__ import annotations

import numpy as np
import pytest

from decodekit_watermark.torch_generator import in_permutation_head, permutation_head, words

torch = pytest.importorskip("torch")


def permutation(seed: int, size: int) -> np.ndarray:
    numbers: np.ndarray = torch.randperm(size, generator=torch.Generator().manual_seed(seed)).numpy()
    return numbers


@pytest.mark.parametrize("seed", [7 * 15_485_863, 2**64 - 2])
@pytest.mark.parametrize(("size", "count"), [(2, 1), (5, 4), (32, 8), (1000, 999), (49_152, 12_288), (151_936, 75_968)])
def test_a_permutation_begins_as_torchs(seed: int, size: int, count: int) -> None:
    head = permutation_head(seed, size, count)
    assert np.array_equal(head, permutation(seed, size)[:count])
    green = set(head.tolist())
    tokens = [0, 1, size - 1, *np.random.default_rng(1).integers(0, size, 40).tolist()]
    assert all(in_permutation_head(token, seed, size, count) == (token in green) for token in tokens)


def test_bits_are_torchs() -> None:
    for seed, size in ((0, 65_536), (12_345, 1001)):
        made = torch.randint(0, 2, (size,), generator=torch.Generator().manual_seed(seed)).numpy()
        assert np.array_equal(words(seed, size) & 1, made)


def test_the_golden_list_of_transformers() -> None:
    """transformers 5.24 with torch 2.13 on a CPU: 32 tokens, a quarter green, the default key, after token 7."""
    assert sorted(permutation_head(15_485_863 * 7, 32, 8).tolist()) == [2, 4, 12, 14, 18, 22, 24, 25]
