"""What a chat template may cost: a budget of work and memory that every operation is charged to.

One unit is about a nanosecond of work or a byte of memory. Time is not measured: the same template with the same
messages is stopped at the same place on every machine.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from jinja2.exceptions import SecurityError

__all__ = ["ITEM", "OPERATION", "Work"]

BUDGET = 150_000_000
"""Units for a template without messages: a tenth of a second to about a second of work."""

OPERATION = 300
ITEM = 50
_LONGEST_INTEGER = 4096  # bits
_SIZED: tuple[type[Any], ...] = (
    list,
    tuple,
    dict,
    set,
    frozenset,
    range,
    type({}.keys()),
    type({}.values()),
    type({}.items()),
    MappingProxyType,
)


class Work:
    """What is left of the budget of one rendering.

    Args:
        most: how large one value may be: its characters, and `ITEM` for each item of a list or mapping.
        units: the budget.
    """

    def __init__(self, most: int, units: int) -> None:
        self.most = most
        self._left = units

    def spend(self, units: int) -> None:
        """Take units from the budget. Raises ``SecurityError`` when it is used up."""
        self._left -= units
        if self._left < 0:
            raise SecurityError("more work than a chat template may do")

    def afford(self, size: float) -> None:
        """Refuse a value of this size before it is made."""
        if size > self.most:
            raise SecurityError(f"a value of {size:.0f} characters or items")

    def size(self, value: Any) -> int:
        """How large a value is, charged for each item looked at. A list that contains another one twice counts it
        twice.

        So comparing, writing or hashing a value touches no more than this.
        """
        if isinstance(value, str):
            return len(value)
        total, stack, looked_at = 0, [value], 0
        while stack and total <= self.most:
            item = stack.pop()
            looked_at += 1
            if isinstance(item, str | bytes):
                total += len(item)
                continue
            total += ITEM
            if isinstance(item, int):
                if item.bit_length() > _LONGEST_INTEGER:
                    raise SecurityError("a number this large")
            elif isinstance(item, _SIZED):
                total += ITEM * len(item)
                if total <= self.most and not isinstance(item, range):
                    stack.extend(item)
                    if isinstance(item, dict | MappingProxyType):
                        stack.extend(item.values())
        self.spend(looked_at * 4 * ITEM)
        self.afford(total)
        return total

    def made(self, value: Any) -> Any:
        """A value that an operation made, charged for its memory and checked for its size."""
        if isinstance(value, str):
            self.afford(len(value))
            self.spend(len(value) if value.isascii() else 4 * len(value))
        elif isinstance(value, int):
            if value.bit_length() > _LONGEST_INTEGER:
                raise SecurityError("a number this large")
        elif isinstance(value, list | tuple | dict | set | frozenset):
            self.spend(60 * len(value))
            self.size(value)
        return value
