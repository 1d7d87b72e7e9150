"""The KV cache as slots that hold prefixes, with one guarantee: the cells of a slot are in the order of its tokens.

Attention sums over the cells in their order, so the same tokens in another order of cells give other bits. llama.cpp
takes the first free cell. So no cell is freed while a later one is in use: discarded tokens of a slot go to a separate
sequence. When the cells run out, the most recently used slots are saved, everything is cleared, and they are restored
without gaps. That costs a copy of memory, not an evaluation.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from decodekit.local.content_index import ContentIndex, common_length
from decodekit.model.prefix import Prefix
from decodekit_llamacpp.native import LlamaContext

__all__ = ["EXTRA_SEQUENCES", "KVSlots"]

EXTRA_SEQUENCES = 2
"""Sequences needed in addition to one per slot: one for discarded tokens, and one to save part of a slot."""

_SLACK = 1024  # up to this many cells of discarded tokens cause no compaction
_FREE_PART = 8  # one part in so many of the cells is free after a compaction: then it costs 0.2 ms a token at most


class KVSlots:
    """Slots over a context's sequences.

    Args:
        context: the context; nothing else may touch its sequences.
        slots: how many; the context has `EXTRA_SEQUENCES` more sequences.
    """

    def __init__(self, context: LlamaContext, slots: int) -> None:
        self._context = context
        self._discarded, self._scratch = slots, slots + 1
        self.index = ContentIndex(slots)
        self._ends = [-1] * slots  # the cell of each slot's last token
        self._runs = [0] * slots  # how many of a slot's last tokens are in consecutive cells that no other slot uses
        self._top = 0  # the first cell not used since the last compaction; all below are in use
        self._compact_at = _SLACK
        self._has_discarded = False

    @property
    def room(self) -> int:
        """How many more tokens can be evaluated before a compaction."""
        return self._context.cells - self._top

    def clear(self) -> None:
        """Empty all slots."""
        self._context.clear()
        self.index.clear()
        slots = len(self._ends)
        self._ends, self._runs = [-1] * slots, [0] * slots
        self._top, self._compact_at, self._has_discarded = 0, _SLACK, False

    def truncate(self, slot: int, length: int) -> None:
        """Roll a slot back to its first ``length`` tokens."""
        gone = self.index.length(slot) - length
        if gone <= 0:
            return
        self.index.truncate(slot, length)
        if self._ends[slot] == self._top - 1:
            freed = min(gone, self._runs[slot])  # the last cells of all: they can be used again at once
            self._context.remove(slot, length + gone - freed)
            self._top -= freed
            self._ends[slot] -= freed
            self._runs[slot] -= freed
            gone -= freed
        if gone:
            self._context.copy(slot, self._discarded, length, -1)
            self._context.remove(slot, length)
            self._runs[slot] = 0
            self._ends[slot] = -1
            self._has_discarded = True

    def drop(self, slot: int) -> None:
        """Empty a slot."""
        self.truncate(slot, 0)
        self.index.drop(slot)

    def fork(self, source: int, target: int, length: int) -> None:
        """Let ``target``, which is dropped first, share the first ``length`` tokens of ``source``."""
        self.drop(target)
        if length:
            self._context.copy(source, target, 0, length)
            self.index.copy(source, target, length)
            self._runs[source] = min(self._runs[source], self.index.length(source) - length)
        self._ends[target] = -1
        self._runs[target] = 0

    def appended(self, slots: Collection[int], count: int) -> None:
        """The context has evaluated ``count`` tokens that all these slots share."""
        for slot in slots:
            alone = len(slots) == 1
            follows = self._ends[slot] == self._top - 1
            self._runs[slot] = (self._runs[slot] * follows + count) * alone
            self._ends[slot] = self._top + count - 1
        self._top += count

    def hold(self, slot: int, prefix: Prefix, keep: int) -> None:
        """Record that the slot holds this prefix; its first ``keep`` ids are unchanged."""
        self.index.put(slot, prefix, keep=keep)

    def wants_compaction(self) -> bool:
        """Whether so many cells may hold discarded tokens that attention would be faster without them."""
        return self._has_discarded and self._top >= self._compact_at

    def compact(self, need: int, first: int, wanted: Collection[int] = ()) -> None:
        """Make room for ``need`` tokens, keeping slot ``first`` (-1 for none) and as many other slots as fit.

        Slots that nobody asks for now (of sequences that have ended, or wait) are kept only as long as a part of the
        cells stays free: otherwise each of the next tokens could need a compaction of its own. The part that a slot
        shares with a kept one is not saved or stored twice.

        Args:
            need: tokens that will be evaluated.
            first: the slot that comes first; -1 for none.
            wanted: slots that the present call continues.
        """
        room = self._context.cells - need
        latest = [slot for slot in reversed(list(self.index.oldest_first())) if self.index.length(slot)]
        order = sorted(latest, key=lambda slot: (slot != first, slot not in wanted))
        kept: list[tuple[int, int, int, int, Any]] = []  # slot, length, the kept slot it shares with, how much, cells
        contents: dict[int, Any] = {}
        for slot in order:
            ids = self.index.ids(slot)
            shared, partner = max(((common_length(ids, contents[other]), other) for other in contents), default=(0, -1))
            free = 0 if slot == first or slot in wanted else self._context.cells // _FREE_PART
            if len(ids) - shared > room - free:
                continue
            room -= len(ids) - shared
            saved = None
            if shared < len(ids):
                self._context.copy(slot, self._scratch, shared, -1)
                saved = self._context.save(self._scratch)
                self._context.remove(self._scratch, 0)
            contents[slot] = ids.copy()
            kept.append((slot, len(ids), partner, shared, saved))
        self._context.clear()
        self._top, self._has_discarded = 0, False
        for slot in range(len(self._ends)):
            self._ends[slot], self._runs[slot] = -1, 0
            if slot not in contents:
                self.index.drop(slot)
        for slot, length, partner, shared, saved in kept:
            if shared:
                self._context.copy(partner, slot, 0, shared)
                self._runs[partner] = min(self._runs[partner], self.index.length(partner) - shared)
            if saved is not None:
                self._context.load(self._scratch, saved)
                self._context.copy(self._scratch, slot, shared, -1)
                self._context.remove(self._scratch, 0)
                self.appended((slot,), length - shared)
        self._compact_at = 2 * self._top + _SLACK
