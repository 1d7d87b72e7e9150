"""Fields of a type that are read from another place than its JSON Schema says: no text would ever be a value of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from decodekit import ParameterError

__all__ = ["require_readable"]


def require_readable(core_schema: Any) -> None:
    """Raise `ParameterError` for a field that is read inside of another value (`AliasPath`), or not by its alias.

    Args:
        core_schema: of pydantic, for the type.
    """
    waiting: list[tuple[Any, Mapping[str, Any]]] = [(core_schema, {})]
    while waiting:
        part, config = waiting.pop()
        if isinstance(part, (list, tuple)):
            waiting.extend((each, config) for each in part)
        elif isinstance(part, Mapping):
            config = {**config, **(part.get("config") or {})}
            fields = part.get("fields")
            if isinstance(fields, Mapping):
                named = [(str(name), field) for name, field in fields.items()]
            else:  # of a dataclass
                named = [(str(each.get("name")), each) for each in fields or () if isinstance(each, Mapping)]
            for name, field in named:
                _require_readable(name, field.get("validation_alias"), config)
            waiting.extend((each, config) for each in part.values() if isinstance(each, (Mapping, list, tuple)))


def _require_readable(name: str, alias: Any, config: Mapping[str, Any]) -> None:
    of = f"the field {name!r} of {config['title']}" if config.get("title") else f"the field {name!r}"
    by_name = bool(config.get("validate_by_name"))
    if alias is None or (by_name and isinstance(alias, list) and not _plain(alias)):
        return  # the schema has the field under its name
    if isinstance(alias, list) and not _plain(alias):
        raise ParameterError(
            f"{of} is read inside of another value (AliasPath), which its JSON Schema does not say; give "
            "it an alias that is a name, or write that value as a model"
        )
    if config.get("validate_by_alias") is False:
        raise ParameterError(f"{of} is read by its name, and its JSON Schema has its alias; set validate_by_alias")


def _plain(alias: list[Any]) -> bool:
    """Whether an alias, or one of several, is a name and no path."""
    paths = alias if alias and isinstance(alias[0], list) else [alias]
    return any(len(path) == 1 for path in paths)
