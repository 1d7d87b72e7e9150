"""When a generation ends, and what to do if a distribution does not disclose enough."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from decodekit.draw.context import MOST_TOKENS
from decodekit.draw.whole import whole
from decodekit.errors import ParameterError
from decodekit.text.utf8 import utf8
from decodekit.trace.step import Step

__all__ = [
    "OnUndisclosed",
    "Stop",
]

OnUndisclosed = Literal["error", "truncate"]


@dataclass(frozen=True, slots=True)
class Stop:
    """When a generation ends, in addition to the model's own end-of-text tokens.

    Args:
        max_tokens: at most this many tokens.
        strings: texts that end it; the first to appear is cut from the text, its ids stay.
        ids: token ids that end it; the id stays in the ids and adds no text.
        until: a function that gets each `Step` and ends the generation by returning true.

    Raises:
        ParameterError: max_tokens out of range, an empty stop string, stop strings that are not Unicode texts,
            a stop id that is not a token id.
    """

    max_tokens: int = 256
    strings: tuple[str, ...] = ()
    ids: frozenset[int] = frozenset()
    until: Callable[[Step], bool] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "max_tokens", whole(self.max_tokens, "max_tokens", 0, MOST_TOKENS))
        object.__setattr__(self, "ids", frozenset(whole(each, "a stop id", 0, 2**63 - 1) for each in self.ids))
        if isinstance(self.strings, str):
            raise ParameterError(f"stop strings must be a sequence of texts, not one text: {self.strings!r}")
        for text in self.strings:
            if not text or not isinstance(text, str):
                raise ParameterError(f"a stop string must be text with at least one character, not {text!r}")
            utf8(text, "stop")
