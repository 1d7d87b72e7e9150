"""Which cache slot holds the longest part of a prefix: the index that every local adapter uses.

A slot is a number to which the adapter gives a meaning, such as a llama.cpp sequence or a row of a tensor. The index
knows which token ids each slot holds and in which order the slots were used; the adapter holds the KV cache itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from decodekit.model.prefix import Prefix
from decodekit.types import Ids

__all__ = ["ContentIndex", "Match", "common_length"]

_NO_IDS: Ids = np.empty(0, dtype=np.int64)


class Match(NamedTuple):
    """A slot and how many leading ids of the prefix it holds. Slot -1 and length 0 when none holds any."""

    slot: int
    length: int


_NOWHERE = Match(-1, 0)


class ContentIndex:
    """The token ids held by a fixed number of slots, found by content.

    Args:
        slots: how many slots there are; they are numbered from 0.
    """

    def __init__(self, slots: int) -> None:
        self._ids: list[Ids] = [_NO_IDS] * slots
        self._lengths = [0] * slots
        self._known: dict[bytes, Match] = {}  # digest of a prefix -> where it is
        self._digests: list[list[tuple[int, bytes]]] = [[] for _ in range(slots)]  # (length, digest) put by each slot
        self._order: dict[int, None] = dict.fromkeys(range(slots))  # least recently used first

    def find(self, prefix: Prefix) -> Match:
        """The slot that shares most leading ids with this prefix; of equally good slots the most recently used one.

        A prefix that was `put` before, with or without its last id, is found by digest; any other prefix is compared
        with each slot.
        """
        best = _NOWHERE
        for node in prefix.ancestors():
            known = self._known.get(node.digest)
            ends_there = known is not None and self._lengths[known.slot] == known.length  # can be extended in place
            if known is not None and (best is _NOWHERE or ends_there):
                best = known
            if best is not _NOWHERE and (ends_there or len(node) < len(prefix)):
                break
        if best.length and best.length >= len(prefix) - 1:
            return best  # a better match would save nothing: the last id is evaluated again in any case
        ids = prefix.since(0)
        for slot in self._order:
            if self._lengths[slot] >= max(best.length, 1):
                shared = common_length(ids, self.ids(slot))
                if shared >= max(best.length, 1):
                    best = Match(slot, shared)
        return best

    def holding(self, prefix: Prefix | None) -> int:
        """The slot that holds exactly this prefix, as given to `put`; -1 when none does."""
        known = None if prefix is None else self._known.get(prefix.digest)
        return known.slot if known is not None and self._lengths[known.slot] == known.length else -1

    def put(self, slot: int, prefix: Prefix, *, keep: int = 0) -> None:
        """Record that the slot now holds exactly this prefix. Its first ``keep`` ids are already there."""
        self.truncate(slot, keep)
        self._write(slot, prefix.since(keep))
        entry = (len(prefix), prefix.digest)
        if self._digests[slot][-1:] != [entry]:
            self._digests[slot].append(entry)
        self._known[prefix.digest] = Match(slot, len(prefix))
        self.touch(slot)

    def copy(self, source: int, target: int, length: int) -> None:
        """Record that ``target`` now holds the first ``length`` ids of ``source`` and nothing else."""
        self.drop(target)
        self._write(target, self.ids(source)[:length])
        self.touch(target)

    def truncate(self, slot: int, length: int) -> None:
        """Remove all ids of the slot from position ``length`` on."""
        digests = self._digests[slot]
        while digests and digests[-1][0] > length:
            _, digest = digests.pop()
            if self._known.get(digest, _NOWHERE).slot == slot:  # another slot may hold the same prefix by now
                del self._known[digest]
        self._lengths[slot] = min(self._lengths[slot], length)

    def drop(self, slot: int) -> None:
        """Empty the slot and make it the least recently used one."""
        self.truncate(slot, 0)
        self._ids[slot] = _NO_IDS
        self._order = {slot: None, **{other: None for other in self._order if other != slot}}

    def clear(self) -> None:
        """Empty all slots."""
        self.__init__(len(self._ids))  # type: ignore[misc]

    def touch(self, slot: int) -> None:
        """Make the slot the most recently used one."""
        del self._order[slot]
        self._order[slot] = None

    def oldest_first(self) -> Iterator[int]:
        """All slots: empty ones first, then from the least to the most recently used."""
        order = list(self._order)
        yield from (slot for slot in order if self._lengths[slot] == 0)
        yield from (slot for slot in order if self._lengths[slot] > 0)

    def length(self, slot: int) -> int:
        """How many ids the slot holds."""
        return self._lengths[slot]

    def ids(self, slot: int) -> Ids:
        """The ids that the slot holds, int64[n]. A view: valid until the slot changes."""
        return self._ids[slot][: self._lengths[slot]]

    def _write(self, slot: int, ids: Ids) -> None:
        start = self._lengths[slot]
        end = start + len(ids)
        if end > len(self._ids[slot]):
            grown = np.empty(max(2 * end, 64), dtype=np.int64)
            grown[:start] = self._ids[slot][:start]
            self._ids[slot] = grown
        self._ids[slot][start:end] = ids
        self._lengths[slot] = end


def common_length(a: Ids, b: Ids) -> int:
    """How many leading ids two arrays have in common."""
    n = min(len(a), len(b))
    if n == 0 or a[0] != b[0]:
        return 0
    differs = a[:n] != b[:n]
    first = int(differs.argmax())
    return first if differs[first] else n
