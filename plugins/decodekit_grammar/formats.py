"""Dates and times that exist: llguidance's own formats allow a 29th of February in any year, and leap seconds.

Source: RFC 3339, without the year 0000 and without leap seconds, which Python's datetime does not have; fractions of
a second have at most nine digits.
"""

from __future__ import annotations

from typing import Any

__all__ = ["with_dates"]

_YEAR = "(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})"
_LEAP_YEAR = "([0-9]{2}(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)"
_DAY = "((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))"
_DATE = f"({_YEAR}-{_DAY}|{_LEAP_YEAR}-02-29)"
_HOUR = "([01][0-9]|2[0-3]):[0-5][0-9]"
_TIME = rf"{_HOUR}:[0-5][0-9](\.[0-9]{{1,9}})?([Zz]|[+-]{_HOUR})"
_PATTERNS = {"date": f"^{_DATE}$", "time": f"^{_TIME}$", "date-time": f"^{_DATE}[Tt]{_TIME}$"}


def with_dates(schema: dict[str, Any]) -> dict[str, Any]:
    """One schema of a schema, with a pattern in place of a format date, time or date-time."""
    pattern = _PATTERNS.get(schema["format"]) if isinstance(schema.get("format"), str) else None
    if pattern is None:
        return schema
    left = {key: value for key, value in schema.items() if key != "format"}
    if "pattern" not in left:
        return {**left, "pattern": pattern}
    return {**left, "allOf": [*left.get("allOf", []), {"pattern": pattern}]}
