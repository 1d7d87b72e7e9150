"""A configuration in layers: the file, a profile of it, and the environment, each over the one before.

Tables are merged by key; a parameter that is a table itself is replaced whole, and so is a chain, with the sampler that
it brought. A table that names another plugin replaces the one below, because the parameters there belong to the other
plugin.
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


def merged(layers: Iterable[Layer]) -> tuple[dict[str, Any], Origins]:
    """All layers in one, the later over the earlier, and where each value came from."""
    whole: dict[str, Any] = {}
    origins: Origins = {}
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
        except ConfigError as error:
            raise ConfigError(f"the environment variable {variable}: {error}") from None
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
