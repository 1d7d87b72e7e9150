"""A resolved configuration as TOML, with where each value came from; what looks like a secret is not shown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from decodekit.config import Config
from decodekit.plugin.secrets import masked

__all__ = ["config_lines"]

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def config_lines(config: Config) -> Iterator[str]:
    """The lines of a TOML file that means the same without a profile and an environment."""
    for table, value in config.as_data().items():
        if table == "chain":
            where = config.origins.get((table, ""), "default")
            for part in value:
                yield from ("", f"[[chain]]  # {where}", *(_line(key, each) for key, each in part.items()))
        elif isinstance(value, Mapping):
            shown = {key: each for key, each in value.items() if each is not None}
            lines = [(_line(key, each), config.origins.get((table, key), "default")) for key, each in shown.items()]
            width = min(max(len(line) for line, _ in lines), 60)
            yield from ("", f"[{table}]", *(f"{line:{width}}  # {where}" for line, where in lines))


def _line(key: str, value: Any) -> str:
    return f"{_key(key)} = {_value(masked(key, value))}"


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _text(key)


def _value(value: Any) -> str:
    """A value in TOML."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(str(key))} = {_value(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, str):
        return _text(value)
    return repr(value) if isinstance(value, float) else json.dumps(value)


def _text(text: str) -> str:
    """JSON, which is also TOML except for a raw DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
