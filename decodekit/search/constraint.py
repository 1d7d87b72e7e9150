"""A constraint of a chain, such as a grammar, as a validator: it is asked what it leaves of a distribution."""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache
from typing import Any

import numpy as np

from decodekit.distribution import Distribution
from decodekit.distribution.passes import rising
from decodekit.draw.choice import Choice
from decodekit.draw.context import Context, TokenIds
from decodekit.errors import EmptySupport, ParameterError
from decodekit.plugin import registry
from decodekit.types import Ids

__all__ = ["OfConstraint", "is_constraint"]

_PLACES = 1024  # states that are kept
_MASKS = 8  # they may be large


def is_constraint(given: Any) -> bool:
    """Whether it is a stateful processor that says when a text is complete."""
    methods = ("initial", "advance", "complete", "__call__")
    return not isinstance(given, type) and all(callable(getattr(given, name, None)) for name in methods)


class OfConstraint:
    """A stateful processor that masks, as a `Validator`.

    Args:
        constraint: the processor.
        context: the prompt's.
        vocab_size: how many tokens the model has.

    Raises:
        ParameterError: the constraint does not fit the vocabulary, or its size is not known.
    """

    def __init__(self, constraint: Any, context: Context, vocab_size: int | None) -> None:
        self.name = registry.name_of(constraint)
        if vocab_size is None:
            raise ParameterError(f"valid: {self.name!r} masks a vocabulary, and this adapter does not know its size")
        self._constraint, self._context = constraint, context
        self._even = Distribution.dense(np.zeros(vocab_size, dtype=np.float32))
        self.allowed = lru_cache(_MASKS)(self._allowed)
        self._places: OrderedDict[tuple[int, ...], Any] = OrderedDict([((), constraint.initial(context))])

    def prefix_ok(self, ids: tuple[int, ...]) -> bool:
        if not ids:
            return True
        allowed = self.allowed(ids[:-1])
        place = int(np.searchsorted(allowed, ids[-1]))
        return place < len(allowed) and bool(allowed[place] == ids[-1])

    def complete(self, ids: tuple[int, ...]) -> bool:
        return bool(self._constraint.complete(self._place(ids)))

    def _allowed(self, ids: tuple[int, ...]) -> Ids:
        """int64[n] rising, the ids that may come next."""
        try:
            left: Distribution = self._constraint(self._even, self._after(ids), self._place(ids))
            return rising(left.support())
        except EmptySupport:
            return np.empty(0, dtype=np.int64)

    def _after(self, ids: tuple[int, ...]) -> Context:
        context = self._context
        return Context(context.prompt_ids, TokenIds(ids), context.tokenizer, context.metadata)

    def _place(self, ids: tuple[int, ...]) -> Any:
        """The state after these ids, of which each is allowed."""
        known = next(length for length in range(len(ids), -1, -1) if ids[:length] in self._places)
        place = self._places[ids[:known]]
        for length in range(known, len(ids)):
            place = self._constraint.advance(place, Choice(ids[length], None), self._after(ids[:length]))
        self._places[ids] = place
        self._places.move_to_end(ids)
        if len(self._places) > _PLACES:
            self._places.move_to_end(())
            self._places.popitem(last=False)
        return place
