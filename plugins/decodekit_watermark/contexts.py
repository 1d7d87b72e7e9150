"""The tokens before a token: what its mark depends on, and whether they stood there before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from decodekit import ParameterError

__all__ = ["Ids", "as_ids", "windows"]

Ids = NDArray[np.int64]


def as_ids(ids: Iterable[int]) -> Ids:
    """The token ids of a text, as int64[n].

    Raises:
        ParameterError: one of them is none.
    """
    given = ids if isinstance(ids, np.ndarray) else list(ids)
    array = np.asarray(given if len(given) else np.empty(0, dtype=np.int64))
    if array.ndim != 1 or array.dtype.kind not in "iu" or (len(array) and int(array.min()) < 0):
        raise ParameterError("the ids of a text are whole numbers from 0 on, in one list")
    return array.astype(np.int64)


def windows(before: Sequence[int] | Ids, ids: Ids, width: int) -> Ids:
    """The ``width`` ids before each token of ``ids`` and before the one that follows, as int64[len(ids) + 1, width].

    Args:
        before: exactly ``width`` ids that stand before the first.
        ids: int64[n], the tokens.
        width: at least 1.
    """
    return np.lib.stride_tricks.sliding_window_view(np.concatenate([np.asarray(before, dtype=np.int64), ids]), width)
