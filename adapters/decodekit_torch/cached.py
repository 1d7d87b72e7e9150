"""Evaluating prefixes of a transformers model with a KV cache: as few tokens as possible, in as few passes as possible.

All rows of a pass are aligned to the right, so a row has padding on its left and nowhere else. Where one row needs
fewer new tokens than its neighbours, it evaluates known ones again: its part of the pass would be unused otherwise.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch

from decodekit.local.content_index import ContentIndex, common_length
from decodekit.local.paths import TokenPath, paths_of
from decodekit.model.prefix import Prefix
from decodekit_torch.fixed_shapes import FixedBuffers, FixedShapes
from decodekit_torch.forward_arguments import ForwardArguments
from decodekit_torch.kv_cache import RowGroup
from decodekit_torch.uncached import Emit, Shape, device_of

__all__ = ["Cached"]

_ROOM = 64  # columns of memory beyond those that are known to be needed
_SHARED = 16  # this many tokens or more that several paths share and the cache lacks are evaluated in a separate pass
_FEW = 16  # paths that need at most this many new tokens are evaluated together, whatever they have cached
_ROLLBACK = 4  # dropping up to this many cached tokens is cheaper than a copy of the row


class Cached:
    """A transformers causal LM with a KV cache that can be kept and rolled back.

    Args:
        module: the model.
        slots: how many sequences are kept at a time.
        cells: how many tokens are cached in all; a single prefix may exceed it.
        tokens_per_forward: rows times columns of one pass.
        shapes: the fixed shapes for steps of generation; None to evaluate them like any other pass.
    """

    def __init__(
        self, module: Any, *, slots: int, cells: int, tokens_per_forward: int, shapes: FixedShapes | None = None
    ) -> None:
        self._module = module
        self._slots = slots
        self._most_cells = cells
        self._tokens = tokens_per_forward
        self._device = device_of(module)
        self._arguments = ForwardArguments.of(module)
        self.index = ContentIndex(slots)
        self._rows: list[tuple[RowGroup, int] | None] = [None] * slots  # the group and row of each slot
        self._groups: list[RowGroup] = []
        self._evaluations = 0
        self._shapes = shapes

    @property
    def groups(self) -> int:
        """How many groups of rows are kept."""
        return len(self._groups)

    @property
    def cells(self) -> int:
        """How many tokens there is memory for at present, unused buffers of fixed shape included."""
        return sum(group.cells for group in self._groups) + (0 if self._shapes is None else self._shapes.idle_cells)

    def clear(self) -> None:
        """Drop all cached rows."""
        self.index.clear()
        if self._shapes is not None:
            self._shapes.clear()
        self._rows = [None] * self._slots
        self._groups = []

    def extend(self, prefixes: Sequence[Prefix], emit: Emit) -> bool:
        """The most common call: each prefix is one token longer than a row, and the rows are those of one group.

        Returns:
            Whether it was that call. If not, nothing has happened.
        """
        index = self.index
        first = self._rows[slot] if (slot := index.holding(prefixes[0].parent)) >= 0 else None
        if first is None:
            return False
        group = first[0]
        rows = len(group.slots)
        # In buffers of fixed shape rows may be unused in a step: the value written into such a row lies after its
        # content.
        if len(prefixes) != rows and (group.fixed is None or group.length == group.room or 2 * len(prefixes) < rows):
            return False
        order: list[Prefix | None] = [None] * rows
        for prefix in prefixes:
            slot = index.holding(prefix.parent)
            place = self._rows[slot] if slot >= 0 else None
            if (
                place is None
                or place[0] is not group
                or order[place[1]] is not None
                or len(prefix) != index.length(slot) + 1
                or index.length(slot) != group.length - group.pads[place[1]]
            ):
                return False
            order[place[1]] = prefix
        ids = np.array([0 if prefix is None else prefix.since(len(prefix) - 1)[0] for prefix in order])[:, None]
        logits, shape = self._pass(group, ids, [0])
        for row, continued in enumerate(order):
            if continued is not None:
                index.put(group.slots[row], continued, keep=len(continued) - 1)
                emit(continued.digest, logits[row, 0], shape)
        self._mark_used(group)
        return True

    def evaluate(self, prefixes: Sequence[Prefix], emit: Emit) -> None:
        """The logits after any distinct prefixes, passed to ``emit`` one by one."""
        paths, _ = paths_of(prefixes, self.index)
        self._place(paths)
        shared = self._shared_prefixes(paths)
        for prefix in shared:
            path = TokenPath([prefix])
            self._place([path])
            self._evaluate_group([path], None)
        if shared:
            self._place(paths)
        waiting = sorted(paths, key=lambda path: (len(path.ids), len(path.prefix)), reverse=True)
        while waiting:
            self._place(waiting)  # what is cached changes with every pass
            bucket = [waiting.pop(0)]
            need, longest = len(bucket[0].ids), len(bucket[0].prefix)
            later = []
            for path in waiting:
                longer = max(longest, len(path.prefix))
                alike = max(need, len(path.ids)) <= max(_FEW, 2 * min(need, len(path.ids))) and longer <= max(
                    64, 2 * len(path.prefix)
                )
                if alike and len(bucket) < self._slots and (len(bucket) + 1) * longer <= self._most_cells:
                    bucket.append(path)
                    longest, need = longer, max(need, len(path.ids))
                else:
                    later.append(path)
            waiting = later
            self._evaluate_group(bucket, emit)

    def _place(self, paths: Collection[TokenPath]) -> None:
        for path in paths:
            path.slot, held = self.index.find(path.prefix)
            path.start = min(held, path.latest_start)
            path.ids = path.prefix.since(path.start)

    def _shared_prefixes(self, paths: Sequence[TokenPath]) -> list[Prefix]:
        """The prefixes that neighbours share and the cache lacks."""
        found: list[Prefix] = []
        common, last = 0, None
        for path in paths:
            shared = 0
            if last is not None and last.start == path.start and last.slot == path.slot:
                shared = min(common_length(last.ids, path.ids), path.latest_start - path.start)
            if shared >= _SHARED and common:
                common = min(common, shared)
                found[-1] = _beginning(path, common)
            elif shared >= _SHARED:
                common = shared
                found.append(_beginning(path, common))
            else:
                common = 0
            last = path
        return found

    def _evaluate_group(self, paths: Sequence[TokenPath], emit: Emit | None) -> None:
        """Evaluate paths as the rows of one group."""
        lengths = [len(path.prefix) for path in paths]
        new = max(len(path.ids) for path in paths)
        group = self._in_place(paths, lengths, new)
        if group is None:
            group = self._gathered(paths, lengths, new)
        order = sorted(range(len(paths)), key=lambda i: self._row_of(group, paths[i], i))
        paths = [paths[i] for i in order]
        start = group.length
        ids = np.zeros((len(paths), new), dtype=np.int64)
        wanted: dict[int, list[tuple[int, Prefix]]] = {}
        for row, path in enumerate(paths):
            tail = path.prefix.since(max(len(path.prefix) - new, 0))
            ids[row, new - len(tail) :] = tail
            for prefix in path.asked if emit is not None else ():
                column = group.pads[row] + len(prefix) - 1 - start
                wanted.setdefault(column, []).append((row, prefix))
        width = max(1, self._tokens // len(paths))
        for low in range(0, new, width):
            part = ids[:, low : low + width]
            columns = sorted(column - low for column in wanted if low <= column < low + part.shape[1])
            logits, shape = self._pass(group, part, columns)
            for place, column in enumerate(columns):
                for row, prefix in wanted[column + low]:
                    assert emit is not None
                    emit(prefix.digest, logits[row, place], shape)
        self._assign_slots(group, paths)

    def _row_of(self, group: RowGroup, path: TokenPath, place: int) -> int:
        found = self._rows[path.slot] if path.slot >= 0 else None
        return found[1] if found is not None and found[0] is group else place

    def _in_place(self, paths: Sequence[TokenPath], lengths: Sequence[int], new: int) -> RowGroup | None:
        """The group whose rows these paths continue, all of them and by the same number of columns."""
        places = [self._rows[path.slot] if path.slot >= 0 else None for path in paths]
        first = places[0]
        if first is None or len(first[0].pads) != len(paths):
            return None
        group = first[0]
        rows = {place[1] for place in places if place is not None and place[0] is group}
        if len(rows) != len(paths):
            return None
        kept = {group.pads[place[1]] + length - new for place, length in zip(places, lengths, strict=True) if place}
        if len(kept) > 1 or min(lengths) < new:
            return None
        length = kept.pop()
        if not group.length - _ROLLBACK <= length <= group.length:
            return None
        for slot in group.slots:
            if slot >= 0:
                self.index.truncate(slot, max(length - group.pads[group.slots.index(slot)], 0))
        group.truncate(length)
        return group

    def _gathered(self, paths: Sequence[TokenPath], lengths: Sequence[int], new: int) -> RowGroup:
        """A new group that begins with copies of cached rows."""
        longest = max(lengths)
        room = longest + max(_ROOM, longest // 16)
        group = RowGroup([longest - length for length in lengths], room)
        sources: list[tuple[RowGroup, int, int] | None] = []
        for path, length in zip(paths, lengths, strict=True):
            place = self._rows[path.slot] if path.slot >= 0 and length > new else None
            sources.append(place and (place[0], place[1], place[0].pads[place[1]]))
        self._make_room(len(paths) * room, {source[0] for source in sources if source is not None})
        group.fill(sources, longest - new, room)
        self._groups.append(group)
        return group

    def _assign_slots(self, group: RowGroup, paths: Sequence[TokenPath]) -> None:
        """Give slots to the rows of the group; first those of the rows they were copied from, if no longer needed."""
        taken = {slot for slot in group.slots if slot >= 0}
        for row, path in enumerate(paths):
            slot = group.slots[row]
            if slot < 0:
                base = path.slot
                if base < 0 or base in taken or self.index.length(base) > path.start + 1:
                    base = next(slot for slot in self.index.oldest_first() if slot not in taken)
                slot = base
                self._release(slot)
                group.slots[row] = slot
                self._rows[slot] = (group, row)
                taken.add(slot)
            self.index.put(slot, path.prefix)
        self._mark_used(group)
        self._make_room(0, {group})

    def _release(self, slot: int) -> None:
        place = self._rows[slot]
        self.index.drop(slot)
        self._rows[slot] = None
        if place is not None:
            place[0].slots[place[1]] = -1
            if not any(other >= 0 for other in place[0].slots):
                self._groups.remove(place[0])
                if place[0].fixed is not None:
                    place[0].fixed.leave()

    def _make_room(self, cells: int, keep: Collection[RowGroup]) -> None:
        """Drop unused buffers and the groups least recently used until there is room, if possible."""
        while self.cells + cells > self._most_cells:
            if self._shapes is not None and self._shapes.drop_one():
                continue
            oldest = min((group for group in self._groups if group not in keep), key=lambda g: g.used, default=None)
            if oldest is None:
                return
            for slot in list(oldest.slots):
                if slot >= 0:
                    self._release(slot)

    def _mark_used(self, group: RowGroup) -> None:
        self._evaluations += 1
        group.used = self._evaluations

    def _pass(self, group: RowGroup, ids: np.ndarray[Any, Any], columns: Sequence[int]) -> tuple[torch.Tensor, Shape]:
        """One forward pass over ``ids`` [rows, n]; the logits [rows, len(columns), V] of these columns of it."""
        end = group.length + ids.shape[1]
        if ids.shape[1] == 1 and group.length > 0 and self._shapes is not None:
            buffers = self._buffers_for(group, self._shapes)
            if buffers is not None:
                logits = buffers.step(self._shapes.forward, ids[:, 0].tolist(), group.length)
                group.advance(end)
                return logits, Shape(buffers.rows, 1, True, buffers.room)
        if group.length > 0 and end > group.room:
            room = end + max(_ROOM, end // 16)
            self._make_room(len(group.pads) * room - group.cells, {group})
            group.move(room)
        shape = Shape(len(ids), ids.shape[1], group.length > 0)
        device = self._device
        extra: dict[str, Any] = {self._arguments.cache: group.cache}
        if self._arguments.position_ids:
            extra["position_ids"] = group.positions(group.length, end, device)
        last_only = not columns or list(columns) == [ids.shape[1] - 1]
        if self._arguments.logits_to_keep:
            extra["logits_to_keep"] = 1 if last_only else torch.tensor(columns, device=device)
        logits = self._module(
            input_ids=torch.from_numpy(ids).to(device),
            attention_mask=group.mask(end, device),
            use_cache=True,
            return_dict=True,
            **extra,
        ).logits
        group.length = end
        if self._arguments.logits_to_keep:
            return logits, shape
        return logits[:, list(columns)] if columns else logits[:, -1:], shape

    def _buffers_for(self, group: RowGroup, shapes: FixedShapes) -> FixedBuffers | None:
        """The buffers of fixed shape that a group uses or moves into now; None where none is large enough and fits."""
        buffers: FixedBuffers | None = group.fixed
        if buffers is not None and group.length < group.room:
            return buffers
        shape = shapes.shape_for(len(group.pads), group.length + 1)
        if shape is None or shape[0] * shape[1] > self._most_cells:
            return None
        if shape not in shapes:
            self._make_room(shape[0] * shape[1] - (group.cells if group.fixed is None else 0), {group})
        buffers = shapes.enter(group, shape, self._device)
        self._make_room(0, {group})  # the group that was there has separate memory again
        return buffers


def _beginning(path: TokenPath, common: int) -> Prefix:
    return Prefix(path.prefix.since(0)[: path.start + common])
