"""A configuration in layers: the file, a profile of it, and the environment, each over the one before.

Tables are merged by key; a parameter that is a table itself is replaced whole, and so is a chain. A table that names
another plugin replaces the one below, because the parameters there belong to the other plugin.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from decodekit.errors import ConfigError, did_you_mean
from decodekit.plugin.one_line import parse_value

__all__ = ["PREFIX", "Layer", "Origins", "environment_layers", "merged", "profile_of"]

Origins = dict[tuple[str, str], str]
"""Where the value of a key of a table came from; the key of a chain is the empty text."""

PREFIX = "DECODEKIT__"
_NAMES = {"adapter": "type", "sampler": "name", "guesser": "name", "session": None}
_PARTS = ("adapter", "chain", "sampler", "guesser", "session")


class Layer(NamedTuple):
    """A part of the whole configuration.

    Args:
        data: tables by name, as in a file.
        origin: where they were written.
    """

    data: Mapping[str, Any]
    origin: str


def merged(layers: Iterable[Layer]) -> tuple[dict[str, Any], Origins]:
    """All layers in one, the later over the earlier, and where each value came from."""
    whole: dict[str, Any] = {}
    origins: Origins = {}
    for data, origin in layers:
        for table, value in data.items():
            below = whole.get(table)
            if _adds(table, below, value):
                whole[table] = {**(below or {}), **value}
            else:
                whole[table] = value
                origins = {place: known for place, known in origins.items() if place[0] != table}
            keys = value if table in _NAMES and isinstance(value, Mapping) else ("",)
            origins |= {(table, str(key)): origin for key in keys}
    return whole, origins


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

    Raises:
        ConfigError: a name or a value that cannot be read. A name without two underscores after ``DECODEKIT`` is not
            of a configuration.
    """
    layers = []
    for variable in sorted(environment, key=_plugin_first):
        if not variable.startswith(PREFIX):
            continue
        table, *keys = variable.removeprefix(PREFIX).lower().split("__")
        if table not in _PARTS or len(keys) != (0 if table == "chain" else 1) or "" in keys:
            hint = "" if table in _PARTS else did_you_mean(table, _PARTS)
            write = " Write" if hint.endswith("?") else "; write"
            raise ConfigError(
                f"the environment variable {variable} names no setting{hint}{write} {PREFIX}ADAPTER__MODEL, "
                f"{PREFIX}SESSION__SEED, {PREFIX}CHAIN and so on"
            )
        try:
            value = parse_value(environment[variable])
        except ConfigError as error:
            raise ConfigError(f"the environment variable {variable}: {error}") from None
        layers.append(Layer({table: {keys[0]: value} if keys else value}, variable))
    return layers


def _plugin_first(variable: str) -> tuple[bool, str]:
    """A variable that names a plugin comes before those of its parameters."""
    return not variable.endswith(("__TYPE", "__NAME", "__CHAIN")), variable
