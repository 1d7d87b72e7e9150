"""A constraint that is given by flags."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from decodekit.errors import ConfigError

__all__ = ["constraint_of", "read_json"]


def constraint_of(json_schema: Path | None, regex: str | None, choice: Sequence[str] | None) -> dict[str, Any] | None:
    """The part of a chain for ``--json-schema FILE``, ``--regex`` or ``--choice``; None without one.

    Raises:
        ConfigError: two of them are given, or the file cannot be read.
    """
    given = {"json_schema": json_schema, "regex": regex, "choice": list(choice) if choice else None}
    named = [(name, value) for name, value in given.items() if value is not None]
    if len(named) > 1:
        first, second = ("--" + name.replace("_", "-") for name, _ in named[:2])
        raise ConfigError(f"{first} and {second} both say what the text must be; give one")
    if not named:
        return None
    ((name, value),) = named
    return {"name": name, name: read_json(value, "--json-schema") if isinstance(value, Path) else value}


def read_json(path: Path, option: str) -> Any:
    """The data of a file that an option names. Raises `ConfigError` where it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{option} {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{option} {path} is not JSON: {error}") from error
