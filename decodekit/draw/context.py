"""What a processor may read in addition to the distribution: ids, tokenizer, metadata, random numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, overload

import numpy as np

from decodekit.draw.randomness import BoundRandomness
from decodekit.text.tokenizer import Tokenizer
from decodekit.types import Ids

__all__ = ["MOST_TOKENS", "Context", "Metadata", "TokenIds"]

MOST_TOKENS = 10_000_000  # of one generation


class Metadata(dict[str, Any]):
    """A copy of a caller's metadata that no processor can change: others read it too. Its values are the caller's own.

    It is a dict, so that a plugin can write it as JSON, copy it and send it to another process.
    """

    def _refuse(self, *given: object, **named: object) -> NoReturn:
        raise TypeError("ctx.metadata is read by other processors and other calls, and cannot be changed")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type[Metadata], tuple[dict[str, Any]]]:
        return Metadata, (dict(self),)


_NOTHING: Mapping[str, Any] = Metadata()


class TokenIds(Sequence[int]):
    """An immutable sequence of token ids that can grow into a new one without copying the old.

    All sequences grown from one another share a buffer; appending to one that is not the newest copies. So a step
    costs O(1), and a branch never sees the tokens of another branch. ``np.asarray`` gives an int64 view.
    """

    __slots__ = ("_buffer", "_length")

    def __init__(self, ids: Iterable[int] = ()) -> None:
        array = np.array(ids if isinstance(ids, np.ndarray | list | tuple) else list(ids), dtype=np.int64)
        self._buffer = _Buffer(array, len(array))
        self._length = len(array)

    def append(self, token_id: int) -> TokenIds:
        """This sequence and one more id."""
        buffer = self._buffer
        if buffer.used != self._length or buffer.used == len(buffer.ids):
            ids = np.empty(max(2 * self._length, 64), dtype=np.int64)
            ids[: self._length] = buffer.ids[: self._length]
            buffer = _Buffer(ids, self._length)
        buffer.ids[self._length] = token_id
        buffer.used += 1
        grown = TokenIds.__new__(TokenIds)
        grown._buffer, grown._length = buffer, self._length + 1
        return grown

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Ids:
        view = self._buffer.ids[: self._length]
        view.flags.writeable = False
        return view if dtype is None and not copy else np.array(view, dtype=dtype)

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[int, ...]: ...
    def __getitem__(self, index: int | slice) -> int | tuple[int, ...]:
        view = self._buffer.ids[: self._length]
        return tuple(view[index].tolist()) if isinstance(index, slice) else int(view[index])

    def __eq__(self, other: object) -> bool:
        if isinstance(other, TokenIds | tuple | list):
            return len(self) == len(other) and tuple(self[:]) == tuple(other)
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self[:])

    def __repr__(self) -> str:
        return f"TokenIds({list(self[:])})"


@dataclass(slots=True)
class _Buffer:
    ids: Ids
    used: int


@dataclass(frozen=True, slots=True)
class Context:
    """Everything that a processor or sampler may read in addition to the distribution.

    Args:
        prompt_ids: the ids of the prompt.
        output_ids: the ids generated so far.
        tokenizer: the adapter's tokenizer, or None.
        metadata: whatever the caller wants its own processors to see.
        rng: this step's random numbers, for processors that draw some; None where none were given.
    """

    prompt_ids: Sequence[int] = field(default_factory=TokenIds)
    output_ids: Sequence[int] = field(default_factory=TokenIds)
    tokenizer: Tokenizer | None = None
    metadata: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    rng: BoundRandomness | None = None

    @property
    def step(self) -> int:
        """The number of tokens generated so far."""
        return len(self.output_ids)
