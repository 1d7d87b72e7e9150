"""The KV cache of a transformers model: rows that are padded on the left and extended together, in memory that grows.

transformers' own dynamic cache copies everything at every token; here a token is written into its place.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

__all__ = ["Group", "has_windows", "is_plain", "windows_of"]

_ROOM = 64  # columns beyond those in use when a buffer is made


def is_plain(config: Any) -> bool:
    """Whether keys and values of every token are all that a model's layers know of their past.

    Then they can all be kept, and any token can be taken back. A sliding window is a matter of the attention mask,
    which the model makes to fit what the cache says it holds. State spaces and what else folds its past are not plain,
    nor is chunked attention.
    """
    if getattr(config, "is_encoder_decoder", False):
        return False
    if getattr(config.get_text_config(decoder=True), "attention_chunk_size", None) is not None:
        return False
    layers = _layers(config)
    return bool(layers) and all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)


def has_windows(config: Any) -> bool:
    """Whether some of a plain model's layers look back over a sliding window only."""
    return any(layer.is_sliding for layer in _layers(config))


def _layers(config: Any) -> list[Any]:
    try:
        return list(DynamicCache(config=config).layers)
    except (AttributeError, KeyError, TypeError, ValueError):
        return []


@contextlib.contextmanager
def windows_of(module: Any, size: int) -> Iterator[None]:
    """For the time of a block, all sliding windows of a model are of this size."""
    owners = [module.config.get_text_config(decoder=True), *module.modules()]
    owners += [part.config for part in module.modules() if hasattr(part, "config")]
    before = [(each, each.sliding_window) for each in owners if isinstance(getattr(each, "sliding_window", None), int)]
    try:
        for owner, _ in before:
            owner.sliding_window = size
        yield
    finally:
        for owner, own_size in before:
            owner.sliding_window = own_size


class _Layer(DynamicLayer):  # type: ignore[misc]  # transformers has no types
    """The keys and values of one layer, in buffers with room for more columns."""

    def __init__(self) -> None:
        super().__init__()
        self.length = 0
        self.buffers: list[torch.Tensor] = []

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        end = self.length + key_states.shape[-2]
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.buffers = [_columns(states, end + _ROOM) for states in (key_states, value_states)]
        elif end > self.buffers[0].shape[-2]:
            for i, old in enumerate(self.buffers):
                self.buffers[i] = _columns(old, end + end // 4 + _ROOM)
                self.buffers[i][..., : self.length, :] = old[..., : self.length, :]
        for buffer, states in zip(self.buffers, (key_states, value_states), strict=True):
            buffer[..., self.length : end, :] = states
        self.length = end
        self.keys, self.values = (buffer[..., :end, :] for buffer in self.buffers)
        return self.keys, self.values

    def get_seq_length(self) -> int:
        return self.length

    def take(self, sources: Sequence[tuple[_Layer, int, int] | None], pads: Sequence[int], length: int) -> None:
        """Become ``length`` columns: in row i, after its padding, those of a row of another layer from a column on."""
        model, _, _ = next(source for source in sources if source is not None)
        self.lazy_initialization(*model.buffers)
        for old in model.buffers:
            shape = (len(sources), *old.shape[1:-2], length + _ROOM, old.shape[-1])
            self.buffers.append(torch.zeros(shape, dtype=old.dtype, device=old.device))
        for row, (source, pad) in enumerate(zip(sources, pads, strict=True)):
            if source is not None and pad < length:
                other, other_row, first = source
                for new, old in zip(self.buffers, other.buffers, strict=True):
                    new[row, ..., pad:length, :] = old[other_row, ..., first : first + length - pad, :]
        self.length = length


def _columns(like: torch.Tensor, count: int) -> torch.Tensor:
    """Zeros, so that what a mask hides is a number."""
    return torch.zeros((*like.shape[:-2], count, like.shape[-1]), dtype=like.dtype, device=like.device)


class Group:
    """Rows that one forward pass extends together, each padded on the left so that all end in the same column.

    Args:
        pads: how many columns of padding each row has.

    Attributes:
        slots: the slot of each row; -1 for a row that nobody needs any more.
        length: how many columns are in use.
        used: when it was used last.
    """

    def __init__(self, pads: Sequence[int]) -> None:
        self.cache = Cache(layer_class_to_replicate=_Layer)
        self.slots = [-1] * len(pads)
        self.pads = list(pads)
        self.padded = any(pads)
        self.length = 0
        self.used = 0
        self._mask: torch.Tensor | None = None

    @property
    def cells(self) -> int:
        """Rows times columns of memory."""
        room = self.cache.layers[0].buffers[0].shape[-2] if self.cache.layers else 0
        return len(self.pads) * room

    def fill(self, sources: Sequence[tuple[Group, int, int] | None], length: int) -> None:
        """Copy the first ``length`` columns from rows of other groups: (group, row, column to start at) for each."""
        self.length = length
        group = next((source[0] for source in sources if source is not None), None)
        if group is None or length == 0:
            self.length = 0
            return
        for i in range(len(group.cache.layers)):
            layer = _Layer()
            layer.take([s and (s[0].cache.layers[i], s[1], s[2]) for s in sources], self.pads, length)
            self.cache.layers.append(layer)

    def truncate(self, length: int) -> None:
        """Forget all columns from ``length`` on."""
        self.length = length
        for layer in self.cache.layers:
            layer.length = min(layer.length, length)

    def mask(self, end: int, device: torch.device) -> torch.Tensor | None:
        """int64[rows, end], 0 for padding; None when there is none."""
        if not self.padded:
            return None
        if self._mask is None or self._mask.shape[1] < end:
            columns = torch.arange(end + end // 4 + _ROOM, device=device)
            self._mask = (columns >= torch.tensor(self.pads, device=device)[:, None]).long()
        return self._mask[:, :end]

    def positions(self, start: int, end: int, device: torch.device) -> torch.Tensor:
        """int64[rows, end - start], the place of each column in its own row; 0 for padding."""
        columns = torch.arange(start, end, device=device)[None]
        if not self.padded:
            return columns.expand(len(self.pads), -1)
        return (columns - torch.tensor(self.pads, device=device)[:, None]).clamp(min=0)
