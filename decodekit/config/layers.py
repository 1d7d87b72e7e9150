"""A configuration in layers: the file, a profile of it, and the environment, each over the one before.

Tables are merged by key; a parameter that is a table itself is replaced whole, and so is a chain, with the sampler that
it brought. A table that names another plugin replaces the one below, because the parameters there belong to the other
plugin.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from decodekit.errors import ConfigError, did_you_mean
from decodekit.plugin.one_line import parse_value

__all__ = ["PREFIX", "Layer", "Merged", "Origins", "environment_layers", "merged", "profile_of", "where_written"]

Origins = dict[tuple[str, str], str]
"""Where the value of a key of a table came from; the key of a chain is the empty text."""

PREFIX = "DECODEKIT__"
_NAMES = {"adapter": "type", "sampler": "name", "guesser": "name", "session": None}
_PARTS = ("adapter", "chain", "sampler", "guesser", "session")
_IN_QUOTES = "a variable holds a TOML value, where such a text has quotes of its own"
_DEPTHS = {"adapter": (1,), "chain": (0,), "sampler": (0, 1), "guesser": (0, 1), "session": (1,)}  # keys of a variable


class Layer(NamedTuple):
    """A part of the whole configuration.

    Args:
        data: tables by name, as in a file.
        origin: where they were written.
        sampler_of_chain: whether the sampler in ``data`` came with the chain: as the end of its text, or of a preset.
    """

    data: Mapping[str, Any]
    origin: str
    sampler_of_chain: bool = False


class Merged(NamedTuple):
    """All layers in one.

    Args:
        data: tables by name.
        origins: where each value came from.
        left: the plugin whose table was replaced by one of another plugin, by table.
    """

    data: dict[str, Any]
    origins: Origins
    left: Mapping[str, str] = {}


def merged(layers: Iterable[Layer]) -> Merged:
    """All layers in one, the later over the earlier."""
    whole: dict[str, Any] = {}
    origins: Origins = {}
    left: dict[str, str] = {}
    with_chain = False
    for data, origin, sampler_of_chain in layers:
        if with_chain and "chain" in data and whole.pop("sampler", None) is not None:
            origins = {place: known for place, known in origins.items() if place[0] != "sampler"}
        with_chain = sampler_of_chain or (with_chain and "sampler" not in data)
        for table, value in data.items():
            below = whole.get(table)
            if _adds(table, below, value):
                whole[table] = {**(below or {}), **value}
            else:
                if table in _NAMES and isinstance(below, Mapping) and isinstance(value, Mapping):
                    left[table] = str(below.get(_NAMES[table]))
                whole[table] = value
                origins = {place: known for place, known in origins.items() if place[0] != table}
            keys = value if table in _NAMES and isinstance(value, Mapping) else ("",)
            origins |= {(table, str(key)): origin for key in keys}
    return Merged(whole, origins, left)


def where_written(message: str, tables: Iterable[str], found: Merged) -> str:
    """What to add to an error in one of these tables: in which layers over the file its values were written.

    Args:
        message: of the error; the values that it names are meant, or all, where it names none.
        tables: by name.
        found: all layers.
    """
    inside = [(key, origin) for (table, key), origin in found.origins.items() if table in tables]
    named = [(key, origin) for key, origin in inside if key and re.search(rf"\b{re.escape(key)}\b", message)]
    above = sorted({origin for _, origin in named or inside if origin.startswith((PREFIX, "profile "))})
    said = f" (written in {', '.join(above)})" if above else ""
    if "is missing" in message and any(table in found.left for table in tables):
        others = ", ".join(found.left[table] for table in tables if table in found.left)
        said += f"; the parameters of {others}, which it replaces, belong to that one"
    return said + (quoting(message) if any(origin.startswith(PREFIX) for origin in above) else "")


def quoting(message: str) -> str:
    """How a variable holds a text that TOML takes for a number, where that is what an error says."""
    return f"; {_IN_QUOTES}, such as '\"1234\"'" if re.search(r"must be text\b|[.](stop|ban): must be", message) else ""


def _adds(table: str, below: Any, value: Any) -> bool:
    """Whether a value is laid over the table below, rather than put in its place."""
    if table not in _NAMES or not isinstance(below, Mapping) or not isinstance(value, Mapping):
        return False
    key = _NAMES[table]
    return key is None or key not in value or value[key] == below.get(key)


def profile_of(data: Mapping[str, Any], profile: str | None, where: str) -> list[Layer]:
    """The layer of the profile that was asked for; none where none was. All profiles are checked for their form.

    Raises:
        ConfigError: there is no such profile, or one is no table of parts.
    """
    profiles = data.get("profiles", {})
    if not isinstance(profiles, Mapping):
        raise ConfigError(f"{where}: profiles must be tables, written as [profiles.NAME.session] and so on")
    for name, part in profiles.items():
        if not isinstance(part, Mapping):
            raise ConfigError(f"{where}: profiles.{name} must be a table, not {part!r}")
        for key in part:
            if key not in _PARTS:
                raise ConfigError(f"{where}: unknown parameter 'profiles.{name}.{key}'{did_you_mean(key, _PARTS)}")
    if profile is None:
        return []
    if profile not in profiles:
        known = did_you_mean(profile, profiles) if profiles else "; it has no [profiles.NAME]"
        raise ConfigError(f"{where}: no profile is named {profile!r}{known}")
    return [Layer(profiles[profile], f"profile {profile}")]


def environment_layers(environment: Mapping[str, str]) -> list[Layer]:
    """``DECODEKIT__SESSION__SEED=7`` as a layer each: a value is TOML, and a bare word is text.

    A chain, a sampler or a guesser may be written as one text, as in a file: ``DECODEKIT__SAMPLER=greedy``.

    Raises:
        ConfigError: a name or a value that cannot be read. A name without two underscores after ``DECODEKIT`` is not
            of a configuration.
    """
    layers = []
    for variable in sorted(environment, key=_plugin_first):
        if not variable.startswith(PREFIX):
            continue
        table, *keys = variable.removeprefix(PREFIX).lower().split("__")
        if table not in _PARTS or len(keys) not in _DEPTHS[table] or "" in keys:
            raise ConfigError(f"the environment variable {variable} names no setting{_form(table)}")
        try:
            value = parse_value(environment[variable])
        except ConfigError:  # its value is not repeated: it may be a secret
            shape = "begins with a quote or a bracket, and is no TOML value"
            raise ConfigError(f"the environment variable {variable} {shape}; {_IN_QUOTES}: '\"[x]\"'") from None
        layers.append(Layer({table: {keys[0]: value} if keys else value}, variable))
    return layers


def _plugin_first(variable: str) -> tuple[bool, str]:
    """A variable that names a plugin comes before those of its parameters."""
    whole = variable.removeprefix(PREFIX).lower() in _PARTS
    return not (whole or variable.endswith(("__TYPE", "__NAME"))), variable


def _form(table: str) -> str:
    """How a variable of this table is written."""
    if table == "chain":
        return f": a chain is one text, {PREFIX}CHAIN='temperature=0.8 top_p=0.95'"
    if table in _PARTS:
        key = {"adapter": "MODEL", "session": "SEED"}.get(table, "NAME")
        return f": it is {PREFIX}{table.upper()}__{key}, or another key, behind two underscores"
    hint = did_you_mean(table, _PARTS)
    write = " Write" if hint.endswith("?") else "; write"
    return f"{hint}{write} {PREFIX}ADAPTER__MODEL, {PREFIX}SESSION__SEED, {PREFIX}CHAIN and so on"
