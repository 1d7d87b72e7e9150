"""The result of a generation."""

from __future__ import annotations

from dataclasses import dataclass

from decodekit.errors import DecodekitError
from decodekit.trace.step import FinishReason
from decodekit.trace.trace import Trace

__all__ = [
    "Result",
]


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one sequence of a generation.

    Args:
        text: the text, without the end-of-text token and without a matched stop string.
        token_ids: all ids, the end-of-text token and those of a stop string included.
        finish_reason: 'stop', 'length', 'deadline', 'cancelled' or 'error'.
        seed: the seed of the run; a random one if none was given.
        trace: every step of the run; in a batch, of all its sequences.
        stream: which sequence of the run this is.
        error: what ended it, when the reason is 'error'.
    """

    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    seed: int
    trace: Trace
    stream: int = 0
    error: DecodekitError | None = None

    def __repr__(self) -> str:
        text = self.text if len(self.text) <= 60 else f"{self.text[:57]}..."
        more = f", stream={self.stream}" if self.stream else ""
        more += "" if self.error is None else f", error={type(self.error).__name__}"
        return f"Result({text!r}, {len(self.token_ids)} tokens, {self.finish_reason!r}, seed={self.seed}{more})"
