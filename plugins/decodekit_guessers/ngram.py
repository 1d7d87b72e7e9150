"""Where the last tokens of a text occurred before."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["continuation"]

Ids = NDArray[np.int64]


def continuation(ids: Ids, ending: Ids, longest: int, shortest: int, most: int) -> list[int]:
    """The tokens that follow the first occurrence of an ending.

    Args:
        ids: int64[n], the text to search.
        ending: int64[m], a text; its last ``longest`` tokens are searched for, then fewer, down to ``shortest``.
        longest: the most tokens of an ending.
        shortest: the fewest.
        most: the most tokens to return.

    Returns:
        At most ``most`` ids; none where no ending occurs with a token after it. O(n) for each length.
    """
    places: Any = None  # where the last tokens of an occurrence of the ending may be, by one length after the other
    found: list[NDArray[np.intp]] = []
    for length in range(1, min(longest, len(ending)) + 1):
        if length == 1:
            places = np.flatnonzero(ids[:-1] == ending[-1])
        else:
            places = places[places >= length - 1]
            places = places[ids[places - (length - 1)] == ending[-length]]
        if not len(places):
            break
        found.append(places)
    if len(found) < shortest:
        return []
    start = int(found[-1][0]) + 1
    return [int(token_id) for token_id in ids[start : start + most]]
