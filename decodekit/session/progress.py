"""How far a run of many sequences has come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Progress", "ProgressCallback"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run of many sequences has come.

    Args:
        done: how many sequences have ended, failed ones included.
        total: how many there are; None while the prompts are not read to their end.
        tokens: how many tokens the run has generated, those of running sequences included.
        failed: how many of the ended sequences ended with an error.
        seconds: since the run was made.
    """

    done: int
    total: int | None
    tokens: int
    failed: int
    seconds: float


ProgressCallback = Callable[[Progress], object]
