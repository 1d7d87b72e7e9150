"""Which numbers of a schema llguidance keeps: it holds them as float64 and writes the others as a neighbour.

Source: a decimal number is read exactly where its digits are at most 2**53 and its power of ten at most 22 (Clinger,
"How to read floating point numbers accurately", 1990); serde_json rounds others once more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from decodekit import ParameterError
from decodekit_grammar.number_bounds import beyond

__all__ = ["require_exact_numbers"]

_EXACT = 2**53
_MOST_POWER = 22
_SURE_DIGITS = 15  # of any decimal number, a float64 keeps them
_INT64 = 2**63 - 1  # as an upper limit of integers it is kept
_OTHER_BOUNDS = {
    "exclusiveMinimum": ("maximum", "exclusiveMaximum"),
    "exclusiveMaximum": ("minimum", "exclusiveMinimum"),
}
_MOST_REMAINDERS = 20_000
_MOST_PRODUCT = 2**32 - 1


def require_exact_numbers(where: str, part: Mapping[str, Any]) -> None:
    """Raise `ParameterError` for a number that would stand for another, or for too many remainders.

    Args:
        where: the place of the part, for the message.
        part: one schema of a schema.
    """
    for key in part.keys() & {"const", "enum"}:
        for number in _numbers(part.get(key)):
            if not _is_exact(number):
                raise ParameterError(
                    f"{where}: {key} has the number {number}, which has too many digits to be read exactly and would "
                    "be rounded; make it a string"
                )
    for key in part.keys() & {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}:
        for bound in _numbers(part.get(key)):
            _require_exact_bound(where, key, bound, integer="number" not in _types(part))
    _require_room_beside_whole(where, part)
    if "multipleOf" in part or "allOf" in part:
        _require_small_multiples(where, part)


def _require_exact_bound(where: str, key: str, bound: float, *, integer: bool) -> None:
    exact = _is_exact(bound) and (not key.startswith("exclusive") or abs(bound) < _EXACT)
    if not exact and not (integer and key == "maximum" and bound == _INT64):
        raise ParameterError(
            f"{where}: {key} is {bound}, which has too many digits to be read exactly and would be rounded; integers "
            "up to 2**53 are kept"
        )


def _require_room_beside_whole(where: str, part: Mapping[str, Any]) -> None:
    """llguidance takes the whole number of an exclusive bound too where the other bound has the same whole part.

    The next float64 is then the bound, if llguidance reads that exactly.
    """
    if not part.keys() & {"exclusiveMinimum", "exclusiveMaximum", "allOf"}:
        return
    together = list(_conjoined(part))
    for opened, closed, side in (("exclusiveMinimum", "minimum", 1), ("exclusiveMaximum", "maximum", -1)):
        # In draft 4, "exclusiveMinimum": true is said of minimum.
        bounds = [each.get(closed) if each.get(opened) is True else each.get(opened) for each in together]
        for bound in _numbers(bounds):
            others = _OTHER_BOUNDS[opened]
            ends = [side * (end - bound) for each in together for key in others for end in _numbers(each.get(key))]
            near = bound == int(bound) and side * bound >= 0 and any(0 < end < 1 for end in ends)
            if near and beyond(side * bound) is None:
                digits = _SURE_DIGITS - len(str(abs(int(bound))))
                raise ParameterError(
                    f"{where}: {opened} {bound} with another bound nearer than 1 is not supported; use {closed} with "
                    f"a number beside it, such as {round(bound + side * 10.0**-digits, digits)}"
                )


def _conjoined(part: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A schema and those in its allOf, which hold of the same value."""
    waiting: list[Any] = [part]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Mapping):
            yield each
            inner = each.get("allOf")
            waiting.extend(inner if isinstance(inner, list) else [])


def _types(part: Mapping[str, Any]) -> list[str]:
    """The types of a value that a part allows, of which 'number' matters here."""
    given = part.get("type", "number")
    return given if isinstance(given, list) else [given]


def _numbers(value: Any) -> Iterator[float]:
    """The numbers in a JSON value."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, list):
            waiting.extend(each)
        elif isinstance(each, Mapping):
            waiting.extend(each.values())
        elif isinstance(each, (int, float)) and not isinstance(each, bool):
            yield each


def _is_exact(number: float) -> bool:
    """Whether a number is read exactly from its decimal digits."""
    if isinstance(number, int) and abs(number) <= _EXACT:
        return True
    _, digits, exponent = Decimal(repr(number)).as_tuple()
    text = "".join(map(str, digits)).rstrip("0")
    power = int(exponent) + len(digits) - len(text)
    if int(text or 0) > _EXACT or abs(power) > _MOST_POWER:
        return False
    return not isinstance(number, int) or int(float(number)) == number  # it is written with the digits of its float64


def _require_small_multiples(where: str, part: Mapping[str, Any]) -> None:
    """llguidance builds as many states as there are remainders: without a bound that is minutes and gigabytes."""
    together = list(_conjoined(part))
    given = [number for each in together for number in _numbers(each.get("multipleOf")) if number > 0]
    decimals = [Decimal(repr(number)) for number in given]
    states = math.lcm(*(each.as_integer_ratio()[0] for each in decimals))
    for factor in (2, 5):
        while states % factor == 0:  # they say how a decimal number ends
            states //= factor
    if states > _MOST_REMAINDERS:
        raise ParameterError(f"{where}: multipleOf with more than {_MOST_REMAINDERS} remainders is not supported")
    digits = max((max(0, -int(each.as_tuple().exponent)) for each in decimals), default=0)
    product = 1
    for each in decimals:
        whole = int(each.scaleb(digits))
        if product * whole > _MOST_PRODUCT:
            raise ParameterError(f"{where}: multipleOf with more than 9 digits together is not supported")
        product = math.lcm(product, whole)
