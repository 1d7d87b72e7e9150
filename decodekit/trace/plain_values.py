"""Values of a table as JSON can hold them."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["plain_value"]


def plain_value(value: Any) -> Any:
    """The value with its parts: bytes in hex, and a number that is not finite as a string, as in a trace."""
    if isinstance(value, dict):
        return {str(name): plain_value(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain_value(each) for each in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value if value is None or isinstance(value, bool | int | str) else str(value)
