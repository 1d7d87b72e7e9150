"""A call is refused where too many callers wait for its adapter."""

from __future__ import annotations

from decodekit.errors import Overloaded
from decodekit.model.adapter import Adapter, AsyncAdapter
from decodekit.model.asking import BlockingAdapter, is_async, rounds_of
from decodekit.model.in_flight import in_flight

__all__ = ["admit", "waiting_for"]


def waiting_for(adapter: Adapter | AsyncAdapter) -> int:
    """How many questions wait for an answer of this adapter."""
    if isinstance(adapter, BlockingAdapter):
        return len(in_flight(adapter.adapter))
    return len(in_flight(adapter)) if is_async(adapter) else rounds_of(adapter).crowd  # type: ignore[arg-type]


def admit(adapter: Adapter | AsyncAdapter, most: int) -> None:
    """Let a call begin if no more than so many wait.

    Raises:
        Overloaded: more wait.
    """
    waiting = waiting_for(adapter)
    if waiting > most:
        raise Overloaded(
            f"max_waiting: {waiting} callers wait for adapter {adapter.info.name!r}, and this call begins only where "
            f"at most {most} do; try again later, or give a larger max_waiting"
        )
