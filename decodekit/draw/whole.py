"""Numbers as callers give them: Python's own and NumPy's."""

from __future__ import annotations

from numbers import Real
from operator import index

from decodekit.errors import ParameterError

__all__ = ["is_number", "whole"]


def whole(value: object, name: str, least: int, most: int) -> int:
    """The integer as Python's own; true and false are none.

    Args:
        value: what was given.
        name: how the error names it.
        least: the smallest that is taken.
        most: the largest that is taken.

    Raises:
        ParameterError: not an integer, or out of range.
    """
    try:
        number = None if isinstance(value, bool) else index(value)  # type: ignore[arg-type]  # that is the question
    except TypeError:
        number = None
    if number is None or not least <= number <= most:
        bound = "2**64 - 1" if most == 2**64 - 1 else "2**63 - 1" if most == 2**63 - 1 else str(most)
        raise ParameterError(f"{name} must be an integer from {least} to {bound}, not {value!r}")
    return number


def is_number(value: object) -> bool:
    """Whether this is a real number, NaN and infinities included; true and false are none."""
    return isinstance(value, Real) and not isinstance(value, bool)
