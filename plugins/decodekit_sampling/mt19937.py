"""The generator of llama.cpp, ``std::mt19937``, and the uniform numbers that libstdc++ derives from its words.

Other standard libraries derive different numbers from the same words: a llama.cpp built with libc++ or Microsoft's
library draws other tokens from the same seed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

__all__ = ["Seed", "uniform_double", "uniform_float"]

Seed = Annotated[int, Field(ge=0, lt=2**32 - 1)]
"""In llama.cpp the seed 2**32 - 1 means a random seed; a fixed seed is smaller."""

_FEWEST = 1024


def uniform_double(seed: int, position: int) -> float:
    """``std::uniform_real_distribution<double>`` on the two words from this position on, in [0, 1)."""
    low, high = _words(seed, position + 2)[position : position + 2].tolist()
    u: float = (float(low) + high * 2.0**32) / 2.0**64
    return min(u, 1 - 2.0**-53)


def uniform_float(seed: int, position: int) -> float:
    """``std::uniform_real_distribution<float>`` on the word at this position, in [0, 1)."""
    u = float(np.float32(_words(seed, position + 1)[position])) / 2.0**32
    return min(u, 1 - 2.0**-24)


def _words(seed: int, count: int) -> NDArray[np.uint32]:
    return _first_words(seed, max(_FEWEST, 1 << (count - 1).bit_length()))


@lru_cache(maxsize=16)
def _first_words(seed: int, count: int) -> NDArray[np.uint32]:
    # NumPy's legacy generator is std::mt19937 with the same seeding, frozen by its compatibility policy.
    return np.frombuffer(np.random.RandomState(seed).bytes(4 * count), dtype="<u4")
