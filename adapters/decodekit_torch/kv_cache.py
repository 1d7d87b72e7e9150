"""The KV cache of a transformers model: rows that are padded on the left and extended together, in memory that grows.

transformers' own dynamic cache copies everything at every token; here a token is written in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer

__all__ = ["RowGroup", "columns_like"]


class _Layer(DynamicLayer):  # type: ignore[misc]  # transformers has no types
    """The keys and values of one layer, in buffers [rows, heads, columns, size] with room for more columns."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.length = 0
        self.buffers: list[torch.Tensor] = []
        self._room = room

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.buffers = [columns_like(states, len(states), self._room) for states in (key_states, value_states)]
        rows, end = len(key_states), self.length + key_states.shape[-2]
        for buffer, states in zip(self.buffers, (key_states, value_states), strict=True):
            buffer[:rows, ..., self.length : end, :] = states
        self.length = end
        keys, values = (buffer[:rows, ..., :end, :] for buffer in self.buffers)
        return keys, values

    def get_seq_length(self) -> int:
        return self.length

    def take(self, sources: Sequence[tuple[_Layer, int, int] | None], pads: Sequence[int], length: int) -> None:
        """Become ``length`` columns: row i, after its padding, copies a row of another layer from a column on."""
        model, _, _ = next(source for source in sources if source is not None)
        self.lazy_initialization(*model.buffers)
        self.buffers = [columns_like(old, len(sources), self._room) for old in model.buffers]
        for row, (source, pad) in enumerate(zip(sources, pads, strict=True)):
            if source is not None and pad < length:
                other, other_row, first = source
                for new, old in zip(self.buffers, other.buffers, strict=True):
                    new[row, ..., pad:length, :] = old[other_row, ..., first : first + length - pad, :]
        self.length = length


def columns_like(like: torch.Tensor, rows: int, room: int) -> torch.Tensor:
    """Zeros [rows, ..., room, size], so that masked values are numbers, not NaN."""
    return torch.zeros((rows, *like.shape[1:-2], room, like.shape[-1]), dtype=like.dtype, device=like.device)


class RowGroup:
    """Rows that one forward pass extends together, each padded on the left so that all end in the same column.

    Args:
        pads: how many columns of padding each row has.
        room: how many columns there is memory for.

    Attributes:
        slots: the slot of each row; -1 for a row that is no longer needed.
        length: how many columns are in use.
        used: when it was last used.
        fixed: the buffers of fixed shape where its keys and values lie; None when it has separate memory.
    """

    def __init__(self, pads: Sequence[int], room: int) -> None:
        self.cache = Cache(layer_class_to_replicate=partial(_Layer, room))
        self.slots = [-1] * len(pads)
        self.pads = list(pads)
        self.padded = any(pads)
        self.length = 0
        self.used = 0
        self.fixed: Any = None
        self._mask: torch.Tensor | None = None
        self._offsets: torch.Tensor | None = None

    @property
    def room(self) -> int:
        """How many columns there is memory for."""
        return int(self.cache.layers[0].buffers[0].shape[-2]) if self.cache.layers else 0

    @property
    def cells(self) -> int:
        """Rows times columns of memory."""
        return len(self.cache.layers[0].buffers[0]) * self.room if self.cache.layers else 0

    def fill(self, sources: Sequence[tuple[RowGroup, int, int] | None], length: int, room: int) -> None:
        """Copy the first ``length`` columns from rows of other groups: (group, row, column to start at) for each."""
        group = next((source[0] for source in sources if source is not None), None)
        if group is None or length == 0:
            return
        self.length = length
        for i in range(len(group.cache.layers)):
            layer = _Layer(room)
            layer.take([s and (s[0].cache.layers[i], s[1], s[2]) for s in sources], self.pads, length)
            self.cache.layers.append(layer)

    def move(self, room: int) -> None:
        """Move into separate memory with this much room, layer by layer, so that little memory is used twice."""
        if self.fixed is not None:
            self.fixed.leave()
        for layer in self.cache.layers:
            for i, old in enumerate(layer.buffers):
                new = layer.buffers[i] = columns_like(old, len(self.pads), room)
                new[..., : self.length, :] = old[: len(self.pads), ..., : self.length, :]

    def advance(self, length: int) -> None:
        """Set how many columns are in use; the last ones were written into buffers of fixed shape."""
        self.length = length
        for layer in self.cache.layers:
            layer.length = length

    def truncate(self, length: int) -> None:
        """Drop all columns from ``length`` on."""
        for layer in self.cache.layers:
            layer.length = min(layer.length, length)
            if self.fixed is not None:  # it reads all columns, and multiplies the masked ones with 0
                for buffer in layer.buffers:
                    buffer[..., length : self.length, :] = 0
        self.length = length

    def mask(self, end: int, device: torch.device) -> torch.Tensor | None:
        """bool[rows, end], false for padding; None when there is none."""
        if not self.padded:
            return None
        if self._mask is None or self._mask.shape[1] < end:
            columns = torch.arange(end + end // 4 + 64, device=device)
            self._mask = columns >= self._offsets_on(device)
        return self._mask[:, :end]

    def positions(self, start: int, end: int, device: torch.device) -> torch.Tensor:
        """int64[rows, end - start], the position of each column in its own row; 0 for padding."""
        columns = torch.arange(start, end, device=device)[None]
        if not self.padded:
            return columns.expand(len(self.pads), -1)
        return (columns - self._offsets_on(device)).clamp(min=0)

    def _offsets_on(self, device: torch.device) -> torch.Tensor:
        if self._offsets is None:
            self._offsets = torch.tensor(self.pads, device=device)[:, None]
        return self._offsets
