"""What a session gives to each of its runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from decodekit.chain import Chain
from decodekit.draw.context import Metadata
from decodekit.model.adapter import Adapter, AsyncAdapter
from decodekit.session.guessing import GivenGuesser
from decodekit.session.stop import OnUndisclosed
from decodekit.text.utf8 import utf8

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What a session gives to each of its runs.

    Args:
        adapter: the model.
        chain: what to do with each distribution.
        seed: of a run without its own; None takes a new random one.
        on_undisclosed: 'error' or 'truncate'.
        top_logprobs: how many leading tokens each step keeps.
        metadata: given to processors as ``ctx.metadata``; a copy of the dict, made when a call begins.
        guesser: says which tokens may come next; none with None and with 'none'.
        config: the resolved configuration, if the session was made from one.

    Raises:
        ParameterError: a name in metadata is not valid Unicode text; names are recorded.
    """

    adapter: Adapter | AsyncAdapter
    chain: Chain
    seed: int | None = None
    on_undisclosed: OnUndisclosed = "error"
    top_logprobs: int = 5
    metadata: Mapping[str, Any] | None = None
    guesser: GivenGuesser = None
    config: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        for name in self.metadata or ():
            utf8(str(name), "a name in metadata")
        if self.metadata is not None:
            object.__setattr__(self, "metadata", Metadata(self.metadata))
