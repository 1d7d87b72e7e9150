"""A call is refused where too many callers wait for its adapter."""

from __future__ import annotations

from decodekit.errors import Overloaded
from decodekit.model.adapter import Adapter, AsyncAdapter
from decodekit.model.asking import BlockingAdapter, is_async, rounds_of
from decodekit.model.in_flight import in_flight

__all__ = ["admit", "waiting_for"]


def waiting_for(adapter: Adapter | AsyncAdapter, beyond: int = -1) -> int:
    """How many questions wait for an answer of this adapter; where that is at most ``beyond``, perhaps a few more."""
    if isinstance(adapter, BlockingAdapter):
        return len(in_flight(adapter.adapter))
    if is_async(adapter):
        return len(in_flight(adapter))
    rounds = rounds_of(adapter)  # type: ignore[arg-type]
    return rounds.waiting if rounds.crowd > beyond else rounds.crowd


def admit(adapter: Adapter | AsyncAdapter, most: int) -> None:
    """Let a call begin if no more than so many wait.

    Raises:
        Overloaded: more wait.
    """
    waiting = waiting_for(adapter, most)
    if waiting > most:
        raise Overloaded(
            f"max_waiting: {waiting} {'caller waits' if waiting == 1 else 'callers wait'} for adapter "
            f"{adapter.info.name!r}, and this call begins only where at most {most} do; try again later, or give a "
            "larger max_waiting"
        )
