"""Frozen data as plain JSON types."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass
from typing import Any

__all__ = ["PlainData", "plain"]


class PlainData:
    """A dataclass that turns into plain JSON types: dicts, lists, texts, numbers, true, false and null."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """The fields by name. An infinite number, which JSON does not have, is the text 'inf' or '-inf'."""
        made: dict[str, Any] = plain(self)
        return made


def plain(value: Any) -> Any:
    """A value as plain JSON types: tuples as lists, dataclasses as dicts, infinities as texts."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, tuple | list):
        return [plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
