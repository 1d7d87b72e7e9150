"""Where a decoder stands, and a token that was chosen but not yet recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from decodekit.chain.reshaped import Reshaped
from decodekit.distribution import Distribution
from decodekit.distribution.disclosure import Disclosure
from decodekit.draw.choice import Choice
from decodekit.draw.context import Context
from decodekit.draw.randomness import BoundRandomness
from decodekit.model.prefix import Prefix
from decodekit.text.stream import TextCheckpoint

__all__ = ["Checkpoint", "Decided"]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A state of a `Decoder` to go back to."""

    prefix: Prefix
    context: Context
    states: tuple[Any, ...]
    need: Disclosure
    text: TextCheckpoint


class Decided(NamedTuple):
    """A token that was chosen, and what its step is made of.

    Args:
        dist: the adapter's answer.
        reshaped: after the processors.
        choice: the token.
        noise: of this step.
        text: that the token adds.
        asked: what had to be asked for after the first answer.
        before: where the decoder stood before this token.
        complete: whether the text may end after it; None where no part of the chain says.
        waited: the seconds that the answer took.
        seconds: that the choice took.
    """

    dist: Distribution
    reshaped: Reshaped
    choice: Choice
    noise: BoundRandomness
    text: str
    asked: tuple[tuple[str, Disclosure], ...]
    before: Checkpoint
    complete: bool | None
    waited: float
    seconds: float
