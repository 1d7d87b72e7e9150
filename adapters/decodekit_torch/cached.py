"""Evaluating prefixes of a transformers model with a KV cache: as few tokens as can be, in as few passes.

All rows of a pass are aligned to the right, so a row has padding on its left and never a hole. Where one row needs
fewer new tokens than its neighbours, it evaluates known ones again: the place in the pass would be idle otherwise.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch

from decodekit.content_index import ContentIndex, common_length
from decodekit.evaluation import Path, paths_of
from decodekit.prefix import Prefix
from decodekit_torch.kv import Group, has_windows, is_plain, windows_of
from decodekit_torch.whole import Emit, Shape, Whole, device_of

__all__ = ["Cached", "can_cache"]

_STEM = 16  # so many common tokens that nobody has evaluated are worth a pass of their own
_FEW = 16  # paths that need no more new tokens than this go together, whatever they have cached
_ROLLBACK = 4  # giving up so many cached tokens is cheaper than a copy of the row


class Cached:
    """A transformers causal LM whose past can be kept and rolled back.

    Args:
        module: the model.
        slots: how many sequences are kept at a time.
        cells: how many tokens are kept in all; a single prefix may exceed it.
        tokens_per_forward: rows times columns of one pass.
    """

    def __init__(self, module: Any, *, slots: int, cells: int, tokens_per_forward: int) -> None:
        self._module = module
        self._slots = slots
        self._cells = cells
        self._tokens = tokens_per_forward
        self._device = device_of(module)
        known = inspect.signature(module.forward).parameters
        self._takes_positions = "position_ids" in known
        self._takes_keep = "logits_to_keep" in known
        self.index = ContentIndex(slots)
        self._rows: list[tuple[Group, int] | None] = [None] * slots  # where each slot lies
        self._groups: list[Group] = []
        self._tick = 0

    def clear(self) -> None:
        """Forget everything."""
        self.index.clear()
        self._rows = [None] * self._slots
        self._groups = []

    def extend(self, prefixes: Sequence[Prefix], emit: Emit) -> bool:
        """The commonest call: each prefix is one token more than a row, and the rows are those of one group.

        Returns:
            Whether it was that call. If not, nothing has happened.
        """
        index = self.index
        first = self._rows[slot] if (slot := index.holding(prefixes[0].parent)) >= 0 else None
        if first is None or len(first[0].slots) != len(prefixes):
            return False
        group = first[0]
        order: list[Prefix | None] = [None] * len(prefixes)
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
        rows = [prefix for prefix in order if prefix is not None]
        ids = np.array([prefix.since(len(prefix) - 1)[0] for prefix in rows])[:, None]
        logits = self._pass(group, ids, [0])
        shape = Shape(len(rows), 1, True)
        for row, prefix in enumerate(rows):
            index.put(group.slots[row], prefix, keep=len(prefix) - 1)
            emit(prefix.digest, logits[row, 0], shape)
        self._touch(group)
        return True

    def evaluate(self, prefixes: Sequence[Prefix], emit: Emit) -> None:
        """The logits after any distinct prefixes, handed to ``emit`` one by one."""
        paths, _ = paths_of(prefixes, self.index)
        self._place(paths)
        stems = list(self._stems(paths))
        for stem in stems:
            path = Path([stem])
            self._place([path])
            self._together([path], None)
        if stems:
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
                if alike and len(bucket) < self._slots and (len(bucket) + 1) * longer <= self._cells:
                    bucket.append(path)
                    longest, need = longer, max(need, len(path.ids))
                else:
                    later.append(path)
            waiting = later
            self._together(bucket, emit)

    def _place(self, paths: Collection[Path]) -> None:
        for path in paths:
            path.slot, held = self.index.find(path.prefix)
            path.start = min(held, path.latest_start)
            path.ids = path.prefix.since(path.start)

    def _stems(self, paths: Sequence[Path]) -> list[Prefix]:
        """What neighbours have in common and nobody has evaluated."""
        stems: list[Prefix] = []
        common, last = 0, None
        for path in paths:
            shared = 0
            if last is not None and last.start == path.start and last.slot == path.slot:
                shared = min(common_length(last.ids, path.ids), path.latest_start - path.start)
            if shared >= _STEM and common:
                common = min(common, shared)
                stems[-1] = _beginning(path, common)
            elif shared >= _STEM:
                common = shared
                stems.append(_beginning(path, common))
            else:
                common = 0
            last = path
        return stems

    def _together(self, paths: Sequence[Path], emit: Emit | None) -> None:
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
            logits = self._pass(group, part, columns)
            shape = Shape(len(paths), part.shape[1], start + low > 0)
            for place, column in enumerate(columns):
                for row, prefix in wanted[column + low]:
                    assert emit is not None
                    emit(prefix.digest, logits[row, place], shape)
        self._claim(group, paths)

    def _row_of(self, group: Group, path: Path, place: int) -> int:
        found = self._rows[path.slot] if path.slot >= 0 else None
        return found[1] if found is not None and found[0] is group else place

    def _in_place(self, paths: Sequence[Path], lengths: Sequence[int], new: int) -> Group | None:
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

    def _gathered(self, paths: Sequence[Path], lengths: Sequence[int], new: int) -> Group:
        """A new group that begins with copies of what is cached."""
        longest = max(lengths)
        group = Group([longest - length for length in lengths])
        sources: list[tuple[Group, int, int] | None] = []
        for path, length in zip(paths, lengths, strict=True):
            place = self._rows[path.slot] if path.slot >= 0 and length > new else None
            sources.append(place and (place[0], place[1], place[0].pads[place[1]]))
        self._make_room(len(paths) * longest, {source[0] for source in sources if source is not None})
        group.fill(sources, longest - new)
        self._groups.append(group)
        return group

    def _claim(self, group: Group, paths: Sequence[Path]) -> None:
        """The rows of the group get slots, those they were copied from first where they are of no more use."""
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
        self._touch(group)
        self._make_room(0, {group})

    def _release(self, slot: int) -> None:
        place = self._rows[slot]
        self.index.drop(slot)
        self._rows[slot] = None
        if place is not None:
            place[0].slots[place[1]] = -1
            if not any(other >= 0 for other in place[0].slots):
                self._groups.remove(place[0])

    def _make_room(self, cells: int, keep: Collection[Group]) -> None:
        """Drop the groups least recently used until there is room for so many cells, if that can be had."""
        while sum(group.cells for group in self._groups) + cells > self._cells:
            oldest = min((group for group in self._groups if group not in keep), key=lambda g: g.used, default=None)
            if oldest is None:
                return
            for slot in list(oldest.slots):
                if slot >= 0:
                    self._release(slot)

    def _touch(self, group: Group) -> None:
        self._tick += 1
        group.used = self._tick

    def _pass(self, group: Group, ids: np.ndarray[Any, Any], columns: Sequence[int]) -> torch.Tensor:
        """One forward pass over ``ids`` [rows, n]; the logits [rows, len(columns), V] of these columns of it."""
        end = group.length + ids.shape[1]
        device = self._device
        extra: dict[str, Any] = {}
        if self._takes_positions:
            extra["position_ids"] = group.positions(group.length, end, device)
        last_only = not columns or list(columns) == [ids.shape[1] - 1]
        if self._takes_keep:
            extra["logits_to_keep"] = 1 if last_only else torch.tensor(columns, device=device)
        logits: torch.Tensor = self._module(
            input_ids=torch.from_numpy(ids).to(device),
            attention_mask=group.mask(end, device),
            past_key_values=group.cache,
            use_cache=True,
            return_dict=True,
            **extra,
        ).logits
        group.length = end
        if self._takes_keep:
            return logits
        return logits[:, list(columns)] if columns else logits[:, -1:]


def _beginning(path: Path, common: int) -> Prefix:
    return Prefix(path.prefix.since(0)[: path.start + common])


def can_cache(module: Any, vocab_size: int) -> bool:
    """Whether a model can be asked through `Cached`: its cache is plain, and it was seen to answer as without one.

    A sliding window shows in sequences longer than itself only, and evaluating thousands of tokens would take long: so
    the windows of the model are made smaller than a few tokens for the time of the test. Where that does not change
    what the model answers without a cache, the test would prove nothing, and the model is not trusted.
    """
    known = inspect.signature(module.forward).parameters
    if "past_key_values" not in known or "attention_mask" not in known or not is_plain(module.config):
        return False
    if not has_windows(module.config):
        return _agrees(module, vocab_size)
    wide = _without_cache(module, [_long(vocab_size)])
    with windows_of(module, _WINDOW):
        narrow = _without_cache(module, [_long(vocab_size)])
        return not _alike(narrow, wide) and _agrees(module, vocab_size)


_WINDOW = 3  # less than half of the long sequence


def _long(vocab_size: int) -> Prefix:
    return Prefix((7 * i + 7) % vocab_size for i in range(7))


def _agrees(module: Any, vocab_size: int) -> bool:
    """Two short sequences of different length, continued and rolled back, against evaluating each from nothing."""
    cached = Cached(module, slots=4, cells=1024, tokens_per_forward=64)
    long, short = _long(vocab_size), Prefix((7 * i + 4) % vocab_size for i in range(4))
    calls = [[long, short], [long.extend([0]), short.extend([0])], [short.extend([1 % vocab_size]), long]]
    for call in calls:
        got: Rows = {}
        cached.evaluate(call, _into(got))
        if not _alike(got, _without_cache(module, call)):
            return False
    return True


Rows = dict[bytes, torch.Tensor]


def _without_cache(module: Any, prefixes: Sequence[Prefix]) -> Rows:
    found: Rows = {}
    Whole(module, tokens_per_forward=64).evaluate(prefixes, _into(found))
    return found


def _alike(got: Rows, expected: Rows) -> bool:
    """Whether logits are the same but for rounding. A broken model is broken either way, and says so when asked."""
    for digest, logits in expected.items():
        if not torch.isfinite(logits).all():
            return True
        slack = (0.01 if logits.dtype in (torch.float32, torch.float64) else 0.3) * float(logits.double().std())
        if not float((got[digest].double() - logits.double()).abs().max()) <= slack:
            return False
    return True


def _into(found: Rows) -> Emit:
    def emit(digest: bytes, logits: torch.Tensor, shape: Shape) -> None:
        found[digest] = logits

    return emit
