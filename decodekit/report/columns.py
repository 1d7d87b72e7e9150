"""Arrays by name as one block of bytes that deflates well, for the page's typed arrays."""

from __future__ import annotations

import zlib
from base64 import b64encode
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Columns", "coarse", "packed"]

_KINDS = {"u1": np.uint8, "i4": np.int32, "u4": np.uint32, "f4": np.float32, "f8": np.float64}
_LARGEST = 2**31
_DROPPED_BITS = 11  # of the 23 of a float32: 12 are left, a relative error of 2**-13


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
            kind: 'u1', 'i4', 'u4', 'f4' or 'f8', little-endian; 'id' is 'i4', or 'f8' if a number is too large for it.
            values: one dimension.
        """
        if kind == "id":
            largest = np.max(np.abs(np.asarray(values, dtype=np.float64)), initial=0)
            kind = "i4" if largest < _LARGEST else "f8"
        array = np.ascontiguousarray(values, dtype=np.dtype(_KINDS[kind]).newbyteorder("<"))
        planes = array.view(np.uint8).reshape(-1, array.dtype.itemsize).T.tobytes()
        self.table[name] = (kind, self._size, len(array))
        self._pieces.append(planes)
        self._size += len(planes)

    def data(self) -> bytes:
        """All arrays, in the order in which they were added."""
        return b"".join(self._pieces)


def coarse(values: Any) -> NDArray[np.float32]:
    """Numbers for display: float32[n], rounded to 12 bits of mantissa. None becomes NaN."""
    array = np.asarray(values, dtype=np.float64).astype(np.float32)
    bits = array.view(np.uint32)
    kept = (bits + np.uint32(1 << (_DROPPED_BITS - 1))) & np.uint32(~((1 << _DROPPED_BITS) - 1) & 0xFFFFFFFF)
    return np.where(np.isfinite(array), kept, bits).astype(np.uint32).view(np.float32)


def packed(data: bytes) -> str:
    """Deflated, in base64: an alphabet that no text of a trace can leave."""
    return b64encode(zlib.compress(data, 6)).decode()
