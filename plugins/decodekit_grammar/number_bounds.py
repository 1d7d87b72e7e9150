"""Bounds of numbers as llguidance keeps them, with every number between them written in its shortest way.

llguidance 1.9 builds a regular expression from the digits of both bounds. Where they have the same whole part, it
allows the whole number itself, although its bound is exclusive; and above any exclusive one it forbids zeros at the
end. So an exclusive bound that a number passes away from zero becomes an inclusive one: the next float64, as texts
between the two are read as one of them. And below a maximum of 0.25 it wants a digit after 0.2, so the same numbers are
also allowed below each beginning of the bound.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

__all__ = ["beyond", "with_kept_bounds"]

_LEAST = 1e-22  # no number of 24 characters is nearer to 0, but 0: with a bound it has no exponent

_KEYS = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
_OTHERS = ("null", "boolean", "string", "array", "object")


class _Bound(NamedTuple):
    """A lower bound; an upper one is the lower one of the negated numbers."""

    value: float
    open: bool


def with_kept_bounds(part: dict[str, Any]) -> dict[str, Any]:
    """One schema of a schema with bounds that llguidance keeps, where they are of numbers with fractions."""
    given = part.get("type")
    types = [given] if isinstance(given, str) else given if isinstance(given, list) else ["number", *_OTHERS]
    given_bounds = [part[key] for key in _KEYS if key in part]
    if not given_bounds or "number" not in types or not all(isinstance(each, (int, float)) for each in given_bounds):
        return part  # it keeps those of integers, and names one that is no number
    low, high = _lower(part, "minimum", "exclusiveMinimum", 1), _lower(part, "maximum", "exclusiveMaximum", -1)
    if low and high and not _room(low, high):
        return part  # llguidance names both
    step = _step(part.get("multipleOf"))
    low, high = (bound and _on_grid(_passed(bound), step) for bound in (low, high))
    whole = {**_written(low, 1), **_written(high, -1)}
    rest = {key: value for key, value in part.items() if key not in _KEYS}
    ways = [
        *(
            {**_written(_Bound(end, False), 1), **_written(high, -1)}
            for end in _beginnings(low)
            if _room(_Bound(end, False), high)
        ),
        *(
            {**_written(low, 1), **_written(_Bound(end, False), -1)}
            for end in _beginnings(high)
            if _room(_Bound(end, False), low)
        ),
    ]
    if not ways:
        return {**rest, **whole}
    branches: list[dict[str, Any]] = [{"type": "number", **way} for way in (whole, *ways)]
    others = [name for name in types if name not in ("number", "integer")]
    branches += [{"type": others}] if others else []
    if "anyOf" not in rest:
        return {**rest, "anyOf": branches}
    return {**rest, "allOf": [*rest.get("allOf", []), {"anyOf": branches}]}


def beyond(value: float) -> float | None:
    """The next float64 above a number that is not negative; None where llguidance would not read it exactly."""
    number = _LEAST if value == 0 else math.nextafter(value, math.inf)
    return number if _is_read(number) else None


def _is_read(number: float) -> bool:
    """Whether serde_json reads a number from its shortest digits: it rounds them, then divides, and rounds again."""
    _, digits, exponent = Decimal(repr(number)).as_tuple()
    power = int(exponent)
    return power >= 0 or float(int("".join(map(str, digits)))) / 10.0**-power == number


def _lower(part: Mapping[str, Any], closed: str, opened: str, sign: int) -> _Bound | None:
    """The bound of a schema; in draft 4, ``"exclusiveMinimum": true`` is said of minimum."""
    found = [_Bound(sign * part[closed], False)] if _is_number(part.get(closed)) else []
    if part.get(opened) is True:
        found = [_Bound(each.value, True) for each in found]
    elif _is_number(part.get(opened)):
        found.append(_Bound(sign * part[opened], True))
    return max(found, default=None)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _passed(bound: _Bound) -> _Bound:
    """An exclusive bound at or above 0 as an inclusive one, if no number is lost by that."""
    if not bound.open or bound.value < 0:
        return bound
    number = beyond(bound.value)
    return bound if number is None else _Bound(number, False)


def _step(multiple: Any) -> Decimal | None:
    """The last digit that a multiple of a number may have: 0.01 for 0.25."""
    if not _is_number(multiple):
        return None
    return Decimal(1).scaleb(min(0, int(Decimal(repr(multiple)).as_tuple().exponent)))


def _on_grid(bound: _Bound, step: Decimal | None) -> _Bound:
    """A bound below 0 that multiples with more digits may reach: llguidance wants 0.50 there, and forbids it at 0.5."""
    given = Decimal(repr(bound.value))
    if step is None or bound.open or bound.value >= 0 or given == int(given) or given % step != 0:
        return bound
    return _Bound(float(given - step), True)


def _written(bound: _Bound | None, sign: int) -> dict[str, Any]:
    if bound is None:
        return {}
    key = "inimum" if sign > 0 else "aximum"
    key = f"exclusiveM{key}" if bound.open else f"m{key}"
    return {key: sign * bound.value}


def _beginnings(bound: _Bound | None) -> list[float]:
    """The bounds below 0 that have fewer digits of its fraction; -0.25 has -0.2."""
    if bound is None or bound.value >= 0 or bound.value == int(bound.value):
        return []
    text = format(Decimal(repr(bound.value)), "f")
    ends = [float(text[:size]) for size in range(text.index(".") + 2, len(text))]
    return [end for end in dict.fromkeys(ends) if end and (end != bound.value or bound.open)]


def _room(bound: _Bound, other: _Bound | None) -> bool:
    """Whether there are numbers from a lower bound to the other one, which is negated."""
    if other is None:
        return True
    return bound.value < -other.value or (bound.value == -other.value and not (bound.open or other.open))
