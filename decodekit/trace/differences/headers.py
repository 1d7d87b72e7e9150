"""The fields in which two headers differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic_core import from_json

from decodekit.plugin import registry
from decodekit.trace.codec import to_line
from decodekit.trace.differences.parts import FieldDifference
from decodekit.trace.header import Header

__all__ = ["header_fields"]

_FIRST = (
    *("seed", "rng", "chain", "on_undisclosed", "stop", "prompts", "given", "tools", "tool_choice", "chat_template"),
    "adapter",
)


def header_fields(a: Header, b: Header) -> list[FieldDifference]:
    """Every field that differs, in the order of the computation; what only describes the run comes last.

    Absent, null and (of a list or a text) empty are equal. Chains of the same processors in the same order are compared
    parameter by parameter, others by the list of their names.
    """
    one, other = _content(a), _content(b)
    names = [*_FIRST, *(name for name in one if name not in _FIRST)]
    found = [each for name in names for each in _differences(name, one.get(name), other.get(name))]
    return [FieldDifference(field, left, right) for field, left, right in found]


def _content(header: Header) -> dict[str, Any]:
    data: dict[str, Any] = from_json(to_line(header.content()))
    return data


def _differences(field: str, a: Any, b: Any) -> Iterator[tuple[str, Any, Any]]:
    if a == b or (_is_empty(a) and _is_empty(b)):
        return
    if field == "chain.processors":
        names = [[registry.shown_name("processors", part) for part in each or ()] for each in (a, b)]
        if names[0] != names[1]:
            yield field, names[0], names[1]
            return
    if isinstance(a, dict | None) and isinstance(b, dict | None):
        a, b = a or {}, b or {}
        for name in dict.fromkeys([*a, *b]):
            yield from _differences(f"{field}.{name}", a.get(name), b.get(name))
    elif field in ("chain.processors", "prompts") and len(a or ()) == len(b or ()):
        for at, (left, right) in enumerate(zip(a, b, strict=True)):
            yield from _differences(f"{field}[{at}]", left, right)
    else:
        yield field, a, b


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | list | dict) and not value)
