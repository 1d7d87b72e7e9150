"""Python objects among the parameters of a configuration made in code: an HTTP client, a tokenizer, a function.

A configuration is recorded, and an object cannot be: its kind and its name stand in its place, and nothing of what it
holds, which may be a secret.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import date, time
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, Final

from decodekit.errors import ConfigError

__all__ = ["named_objects", "recorded", "refuse_recorded_objects"]

_MARK: Final = "python_object"


def recorded(value: Any) -> Any:
    """A value as JSON data: a path is text, a set a sorted list, and an object ``{"python_object": its name}``."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if isinstance(value, date | time):  # of TOML
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): recorded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [recorded(each) for each in value]
    if isinstance(value, AbstractSet):
        return sorted(map(recorded, value), key=repr)
    return {_MARK: _named(value)}


def named_objects(parameters: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each parameter of a record in place of which, or in which, an object is named; and how it is named."""
    for key, value in parameters.items():
        found = next(_marks(value), None)
        if found is not None:
            yield key, found


def refuse_recorded_objects(parameters: Mapping[str, Any], owner: str, option: str = "") -> None:
    """Refuse parameters that only name an object: there is nothing to build from.

    Args:
        parameters: of a plugin, as in a configuration or in its record.
        owner: how the error names the plugin.
        option: what `decodekit.open` calls it when it is given beside the configuration; the parameter's own name by
            default.

    Raises:
        ConfigError: a parameter does.
    """
    for key, name in named_objects(parameters):
        raise ConfigError(
            f"{owner}: {key} was a Python object ({name}), which a record only names; give it again: "
            f"decodekit.open(config, {option or key}=...)"
        )


def _named(value: object) -> str:
    """The kind and the name of an object; of an instance, those of its class."""
    if isinstance(value, FunctionType | BuiltinFunctionType | MethodType):
        return f"function {value.__module__}.{value.__qualname__}"
    if isinstance(value, type):
        return f"class {value.__module__}.{value.__qualname__}"
    return f"object of {type(value).__module__}.{type(value).__qualname__}"


def _marks(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if set(value) == {_MARK}:
            yield str(value[_MARK])
        else:
            for each in value.values():
                yield from _marks(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _marks(each)
