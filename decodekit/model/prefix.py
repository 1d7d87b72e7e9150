"""The input of a language model: an immutable sequence of token ids.

A prefix is a persistent list. Extending one makes a child that shares the ids before it, so a branch is a second child,
a rollback is an ancestor, and the next turn of a chat is a longer prefix. Prefixes know no adapter; adapters find their
caches by the content of prefixes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b

import numpy as np

from decodekit.errors import ParameterError, brief
from decodekit.types import Ids

__all__ = ["Prefix"]

_LARGEST_ID = 2**63 - 1


class Prefix:
    """An immutable sequence of token ids with a rolling content digest.

    Two prefixes are equal when their ids are equal, however they were built: equality and hash use the 128-bit BLAKE2b
    digest of the ids as little-endian 64-bit integers.

    Args:
        ids: token ids, each in [0, 2**63).

    Raises:
        ParameterError: an id is negative, too large, or not an integer.
    """

    __slots__ = ("_hasher", "_ids", "_length", "_parent", "digest")

    digest: bytes
    """16 bytes that identify the content; the first 8 are the key of stochastic models' noise (RNG.md, domain 4)."""

    def __init__(self, ids: Iterable[int] = ()) -> None:
        self._become(None, blake2b(digest_size=16), 0, _as_ids(ids))

    def _become(self, parent: Prefix | None, hasher: blake2b, start: int, ids: Ids) -> None:
        hasher.update(ids.tobytes())
        self._parent = parent
        self._hasher = hasher
        self._ids = ids
        self._length = start + len(ids)
        self.digest = hasher.digest()

    @property
    def parent(self) -> Prefix | None:
        """The prefix this one was extended from; None for one built from its ids."""
        return self._parent

    @property
    def token_ids(self) -> tuple[int, ...]:
        """All ids, oldest first. O(length)."""
        return tuple(self.since(0).tolist())

    def extend(self, ids: Iterable[int]) -> Prefix:
        """The prefix that continues this one. O(number of new ids); without new ids it is this prefix itself."""
        array = _as_ids(ids)
        if len(array) == 0:
            return self
        child = Prefix.__new__(Prefix)
        child._become(self, self._hasher.copy(), self._length, array)
        return child

    def since(self, start: int) -> Ids:
        """The ids from position ``start`` on, as int64[n]. Visits only the nodes that hold them."""
        parts: list[Ids] = []
        node: Prefix | None = self
        while node is not None and node._length > start:
            first = node._length - len(node._ids)
            parts.append(node._ids[max(start - first, 0) :])
            node = node._parent
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts[::-1]) if parts else np.empty(0, dtype=np.int64)

    def ancestors(self) -> Iterator[Prefix]:
        """This prefix, its parent, and so on up to the root."""
        node: Prefix | None = self
        while node is not None:
            yield node
            node = node._parent

    def __len__(self) -> int:
        return self._length

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Prefix) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        last = self.since(max(self._length - 6, 0)).tolist()
        shown = ", ".join(map(str, last))
        return f"Prefix({self._length} ids: {'… ' if self._length > 6 else ''}{shown})"

    def __reduce__(self) -> tuple[type[Prefix], tuple[tuple[int, ...]]]:
        return (Prefix, (self.token_ids,))


def _as_ids(ids: Iterable[int]) -> Ids:
    listed = ids if isinstance(ids, np.ndarray | list | tuple) else list(ids)
    if len(listed) == 0:
        return np.empty(0, dtype=np.int64)
    if len(listed) == 1 and type(listed[0]) is int and 0 <= listed[0] <= _LARGEST_ID:  # the usual case, made fast
        one = np.array(listed, dtype=np.int64)
        one.flags.writeable = False
        return one
    try:
        array = np.asarray(listed)
    except (ValueError, OverflowError):
        raise ParameterError(f"token ids must be a flat sequence of integers, not {brief(listed)}") from None
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise ParameterError(f"token ids must be a flat sequence of integers, not {brief(listed)}")
    if (array < 0).any() or (array > _LARGEST_ID).any():
        raise ParameterError(f"token ids must lie in [0, 2**63); got {int(array.min())} to {int(array.max())}")
    owned = np.array(array, dtype=np.int64)
    owned.flags.writeable = False
    return owned
