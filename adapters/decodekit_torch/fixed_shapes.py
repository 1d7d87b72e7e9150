"""Decoding in tensors whose shapes and addresses never change, as compilers and CUDA graphs require.

A step of generation is a pass of one column over every row. It runs in buffers of fixed shape: keys and values of a
fixed number of rows and columns, and a tensor that holds the column of the next ids. Only one group at a time uses such
buffers; when another one needs them, the first moves out.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers.cache_utils import Cache, StaticLayer

from decodekit_torch.forward_arguments import ForwardArguments
from decodekit_torch.kv_cache import RowGroup, columns_like
from decodekit_torch.uncached import device_of

__all__ = ["COMPILE_OPTIONS", "LEAST_COLUMNS", "MOST_SHAPES", "FixedBuffers", "FixedShapes", "compiled_step"]

LEAST_COLUMNS = 512  # columns of the smallest buffers
MOST_SHAPES = 8  # at most this many are compiled; torch has the same limit
COMPILE_OPTIONS: dict[str, Any] = (
    {"isolate_recompiles": True} if "isolate_recompiles" in inspect.signature(torch.compile).parameters else {}
)

Forward = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None, Cache], torch.Tensor]
"""From ids [rows, 1], their column [], the padding of each row [rows, 1], a mask [rows, columns] or None, and a cache
to logits [rows, 1, V]."""


class _FixedLayer(StaticLayer):  # type: ignore[misc]  # transformers has no types
    """All columns of one layer's keys and values; a tensor [] shared by all layers holds the index of the next one."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, column: torch.Tensor) -> None:
        super().__init__(max_cache_len=keys.shape[-2])
        self.keys, self.values, self.cumulative_length = keys, values, column
        self.is_initialized = True
        torch._dynamo.mark_static_address(keys)
        torch._dynamo.mark_static_address(values)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        place = self.cumulative_length.view(1)
        self.keys.index_copy_(-2, place, key_states)
        self.values.index_copy_(-2, place, value_states)
        return self.keys, self.values


class FixedBuffers:
    """Keys and values of one fixed shape.

    Args:
        rows: how many rows; a group may have fewer.
        room: how many columns.
        device: the device for the model's ids.

    Attributes:
        occupant: the group that uses this memory at present.
    """

    def __init__(self, rows: int, room: int, device: torch.device) -> None:
        self.rows = rows
        self.room = room
        self.occupant: RowGroup | None = None
        self._given = torch.zeros(rows + 1, dtype=torch.int64, device=device)  # ids and column, in one transfer
        self._ids, self._column = self._given[:-1, None], self._given[-1]
        self._pads = torch.zeros((rows, 1), dtype=torch.int64, device=device)
        self._mask = torch.ones((rows, room), dtype=torch.bool, device=device) if rows > 1 else None
        self._cache = Cache(layers=[])
        for tensor in (self._ids, self._column, self._pads, self._mask):
            if tensor is not None:
                torch._dynamo.mark_static_address(tensor)

    @property
    def cells(self) -> int:
        """Rows times columns of memory."""
        return self.rows * self.room

    def enter(self, group: RowGroup) -> None:
        """Move a group into these buffers; the group that used them before moves out."""
        if self.occupant is not None:
            self.occupant.move(self.occupant.length)
        rows, length = len(group.pads), group.length
        for i, layer in enumerate(group.cache.layers):  # one by one, so that little memory is used twice
            if i == len(self._cache.layers):
                keys, values = (columns_like(old, self.rows, self.room) for old in layer.buffers)
                self._cache.layers.append(_FixedLayer(keys, values, self._column))
            fixed = self._cache.layers[i]
            for k, buffer in enumerate((fixed.keys, fixed.values)):
                buffer.zero_()
                buffer[:rows, ..., :length, :] = layer.buffers[k][:rows, ..., :length, :]
                layer.buffers[k] = buffer
        self._pads[:rows, 0] = torch.tensor(group.pads)
        self._pads[rows:] = 0
        if self._mask is not None:
            torch.ge(torch.arange(self.room, device=self._mask.device), self._pads, out=self._mask)
        if group.fixed is not None:
            group.fixed.leave()
        group.fixed, self.occupant = self, group

    def leave(self) -> None:
        """Mark the buffers as unused."""
        if self.occupant is not None:
            self.occupant.fixed = None
        self.occupant = None

    def step(self, forward: Forward, ids: Sequence[int], column: int) -> torch.Tensor:
        """Logits [rows, 1, V] after one id for each row; the last rows may be unused."""
        idle = [0] * (self.rows - len(ids))
        self._given.copy_(torch.tensor([*ids, *idle, column]))
        return forward(self._ids, self._column, self._pads, self._mask, self._cache)


class FixedShapes:
    """Buffers of a few shapes: rows and columns are powers of two, except for the largest.

    Args:
        module: a transformers causal LM.
        rows: the most rows that a group has.
        limit: the most columns that are useful, or None.
        compiled: whether `torch.compile` makes one graph of a step; otherwise torch runs it uncompiled.
    """

    def __init__(self, module: Any, *, rows: int, limit: int | None, compiled: bool) -> None:
        self._rows = rows
        self._limit = limit
        self._shapes: dict[tuple[int, int], FixedBuffers] = {}
        self._seen: set[tuple[int, int]] = set()
        forward = _step_of(module)
        self.forward = compiled_step(forward, device_of(module)) if compiled else forward

    def __contains__(self, shape: tuple[int, int]) -> bool:
        return shape in self._shapes

    def shape_for(self, rows: int, columns: int) -> tuple[int, int] | None:
        """The smallest shape that is large enough; None where there is none, or where one more would be too many."""
        room = max(LEAST_COLUMNS, 1 << (columns - 1).bit_length())
        shape = min(1 << (rows - 1).bit_length(), self._rows), room if self._limit is None else min(room, self._limit)
        return shape if columns <= shape[1] and (shape in self._seen or len(self._seen) < MOST_SHAPES) else None

    def enter(self, group: RowGroup, shape: tuple[int, int], device: torch.device) -> FixedBuffers:
        """Move the group into the buffers of this shape."""
        self._seen.add(shape)
        if shape not in self._shapes:
            self._shapes[shape] = FixedBuffers(*shape, device)
        buffers = self._shapes[shape]
        buffers.enter(group)
        return buffers

    @property
    def idle_cells(self) -> int:
        """Memory of buffers that no group uses, in rows times columns."""
        return sum(buffers.cells for buffers in self._shapes.values() if buffers.occupant is None)

    def drop_one(self) -> bool:
        """Free buffers that no group uses. Returns whether there were any."""
        idle = next((shape for shape, buffers in self._shapes.items() if buffers.occupant is None), None)
        return idle is not None and self._shapes.pop(idle) is not None

    def clear(self) -> None:
        """Free all buffers."""
        for buffers in self._shapes.values():
            buffers.leave()
        self._shapes = {}


def _step_of(module: Any) -> Forward:
    arguments = ForwardArguments.of(module)
    keep = {"logits_to_keep": 1} if arguments.logits_to_keep else {}

    def step(
        ids: torch.Tensor, column: torch.Tensor, pads: torch.Tensor, mask: torch.Tensor | None, cache: Cache
    ) -> torch.Tensor:
        logits: torch.Tensor = module(
            input_ids=ids,
            attention_mask=mask,
            position_ids=(column - pads).clamp(min=0),
            use_cache=True,
            return_dict=True,
            **{arguments.cache: cache, **keep},
        ).logits
        return logits[:, -1:]

    return step


def compiled_step(step: Forward, device: torch.device) -> Forward:
    """The step as one graph per shape, and as a CUDA graph on a GPU."""
    on_gpu = device.type == "cuda"
    graph: Forward = torch.compile(step, dynamic=False, mode="reduce-overhead" if on_gpu else None, **COMPILE_OPTIONS)

    def replayed(
        ids: torch.Tensor, column: torch.Tensor, pads: torch.Tensor, mask: torch.Tensor | None, cache: Cache
    ) -> torch.Tensor:
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        return graph(ids, column, pads, mask, cache).clone()  # the next replay overwrites this answer

    return replayed if on_gpu else graph
