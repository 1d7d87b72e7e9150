"""A grid of numbers as text: ``0:2:0.05``, or ``0.2,0.7,1``."""

from __future__ import annotations

import math
import re

from decodekit.errors import ConfigError

__all__ = ["grid_of"]

_MOST = 10_000


def grid_of(text: str, option: str) -> list[float]:
    """The numbers of a grid, rising.

    Args:
        text: ``first:last:step``, both ends included where the steps reach them, or numbers between commas.
        option: its name, for errors.

    Raises:
        ConfigError: it is empty or none of these, or holds more than 10,000 numbers.
    """
    parts = [part.strip() for part in re.split("[:,]", text)]
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if ":" in text:
        if "," in text or len(numbers) != 3 or not all(map(math.isfinite, numbers)):
            raise _wrong(text, option)
        first, last, step = numbers
        if step <= 0 or last < first:
            raise ConfigError(f"{option} {text!r} is empty; it is FIRST:LAST:STEP with a step above 0")
        count = math.floor((last - first) / step + 1e-9) + 1
        if count > _MOST:
            raise ConfigError(f"{option} {text!r} has {count:,} points; at most {_MOST:,} are possible")
        return [round(first + at * step, 12) for at in range(count)]
    if not numbers or any(map(math.isnan, numbers)):
        raise _wrong(text, option)
    return sorted(set(numbers))


def _wrong(text: str, option: str) -> ConfigError:
    return ConfigError(f"{option} is FIRST:LAST:STEP, such as 0:2:0.05, or numbers such as 0.2,0.7,1, not {text!r}")
