"""The state of a constraint: where a text stands, and how it was written so far. Nothing in it ever changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from decodekit_grammar.matcher import Matcher
from decodekit_grammar.number_length import NumberLength
from decodekit_grammar.vocabulary import Vocabulary

__all__ = ["Place"]

_MOST_EXPECTED = 16
_FEW = 1000  # where more tokens are allowed, such as in a string, the text is the model's own

_Situation = tuple[bytes, int]  # the text that must come next, or where there is none the last token


@dataclass(frozen=True, slots=True)
class Place:
    """Where a text stands.

    Args:
        vocabulary: the model's.
        matcher: the place in the grammar.
        number: how long the number is that is being written; None where that has no bound.
        ended: an end-of-text token was written.
        last: the last token; -1 at the start.
        habits: how the text went on where few tokens were allowed: a text has one way of writing its punctuation.
    """

    vocabulary: Vocabulary
    matcher: Matcher
    number: NumberLength | None = None
    ended: bool = False
    last: int = -1
    habits: Mapping[_Situation, int] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def mask(self) -> NDArray[np.bool_]:
        """bool[vocabulary], the tokens that may come next."""
        mask = self.matcher.mask
        return mask if self.number is None else self.number.bounded(mask)

    def after(self, token_id: int) -> Place:
        """The place after this token.

        Raises:
            ParameterError: the grammar does not allow it.
        """
        if token_id in self.vocabulary.eos_ids and self.matcher.accepting:
            return replace(self, ended=True)
        matcher = self.matcher.after(token_id)
        number = None if self.number is None else self.number.after(self.vocabulary.marked(token_id))
        habits = self.habits
        if self._has_few:
            habits = {**habits, self._situation: token_id}
        return replace(self, matcher=matcher, number=number, last=token_id, habits=habits)

    def expected(self) -> list[int]:
        """The ids of the text that must come next, and then of what followed such a place before."""
        ids: list[int] = []
        place = self
        while len(ids) < _MOST_EXPECTED and not place.ended:
            more = place.matcher.forced or place._usual(self.habits)
            if not more:
                break
            for token_id in more[: _MOST_EXPECTED - len(ids)]:
                if not place.mask[token_id]:
                    return ids
                ids.append(token_id)
                place = place.after(token_id)
        return ids

    def _usual(self, habits: Mapping[_Situation, int]) -> list[int]:
        """What followed such a place before."""
        found = habits.get(self._situation) if self._has_few else None
        return [] if found is None else [found]

    @property
    def _has_few(self) -> bool:
        return bool(np.count_nonzero(self.matcher.mask) <= _FEW)

    @property
    def _situation(self) -> _Situation:
        data = self.matcher.forced_bytes
        return (data, -1) if data else (b"", self.last)
