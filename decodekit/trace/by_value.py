"""Equality of records that hold arrays: two are equal if all that they say is equal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

__all__ = ["ByValue"]


class ByValue:
    """A frozen dataclass that is made with ``eq=False`` and compared field by field; NaN is equal to NaN.

    A field with ``compare=False`` does not count.
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self is other or all(_same(getattr(self, name), getattr(other, name)) for name in _compared(self))

    def __hash__(self) -> int:
        return hash(tuple(value for name in _compared(self) if isinstance(value := getattr(self, name), int | str)))


def _compared(record: Any) -> list[str]:
    return [each.name for each in fields(record) if each.compare]


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=np.issubdtype(a.dtype, np.inexact))
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):  # a file knows lists only
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_same(value, b[name]) for name, value in a.items())
    if isinstance(a, BaseException) and isinstance(b, BaseException):
        return type(a) is type(b) and a.args == b.args
    return bool(a == b) or (isinstance(a, float) and isinstance(b, float) and a != a and b != b)
