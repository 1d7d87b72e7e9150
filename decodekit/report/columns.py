"""Arrays by name as one block of bytes that deflates well, for the page's typed arrays."""

from __future__ import annotations

import zlib
from base64 import b64encode
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Columns", "packed", "shares_shown"]

_KINDS = {"u1": np.uint8, "i4": np.int32, "u4": np.uint32, "f8": np.float64}
_DECIMALS = {"d3": 3, "d5": 5}
_LARGEST = 2**31
_EXACT = 2**53  # numbers of JavaScript are exact below
_UNKNOWN = -_LARGEST
_FEWEST = 1e-5  # of the mass: shown as less than 0.01 %


class Columns:
    """Collects arrays; the table says where each is.

    The bytes of an array lie by their significance, all lowest bytes first: zeros and equal exponents are neighbours.
    """

    def __init__(self) -> None:
        self.table: dict[str, tuple[str, int, int]] = {}
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, name: str, kind: str, values: Any) -> None:
        """Add an array.

        Args:
            name: its name in the table.
            kind: 'u1', 'i4', 'u4' or 'f8', little-endian; 'd3' and 'd5' are decimals of so many digits as 'i4', with
                -2**31 for NaN. 'id' takes whole numbers of any size: they become 'i4' or 'f8', or 'n', decimal digits
                with commas between, if one is so large that a float would round it.
            values: one dimension.
        """
        if kind == "id":
            numbers = values.tolist() if isinstance(values, np.ndarray) else values
            largest = max(map(abs, numbers), default=0)
            if largest >= _EXACT:
                return self._put(name, "n", ",".join(map(str, numbers)).encode())
            kind = "i4" if largest < _LARGEST else "f8"
        stored = "i4" if kind in _DECIMALS else kind
        if kind in _DECIMALS:
            values = _scaled(values, _DECIMALS[kind])
        array = np.ascontiguousarray(values, dtype=np.dtype(_KINDS[stored]).newbyteorder("<"))
        planes = array.view(np.uint8).reshape(-1, array.dtype.itemsize).T.tobytes()
        return self._put(name, kind, planes, len(array))

    def _put(self, name: str, kind: str, data: bytes, count: int | None = None) -> None:
        self.table[name] = (kind, self._size, len(data) if count is None else count)
        self._pieces.append(data)
        self._size += len(data)

    def data(self) -> bytes:
        """All arrays, in the order in which they were added."""
        return b"".join(self._pieces)


def _scaled(values: Any, digits: int) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    limit = _LARGEST - 1
    return np.where(np.isnan(array), _UNKNOWN, np.clip(np.rint(array * 10.0**digits), -limit, limit))


def shares_shown(values: Any) -> NDArray[np.float64]:
    """Probabilities for display: float64[n], rounded to 0.01 %, as `share_text` does; none but 0 becomes 0."""
    array = np.asarray(values, dtype=np.float64)
    return np.where((array > 0) & (array < 5e-5), _FEWEST, np.round(array, 4))


def packed(data: bytes) -> str:
    """Deflated, in base64: an alphabet that no text of a trace can leave."""
    return b64encode(zlib.compress(data, 6)).decode()
