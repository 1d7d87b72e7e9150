"""From a file or a dict to a checked `Config`."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from decodekit.config.layers import Layer, environment_layers, merged, profile_of
from decodekit.config.model import Config, PresetPart, SessionPart
from decodekit.errors import ConfigError, brief, message_of
from decodekit.local.files import read_bytes
from decodekit.plugin import validated
from decodekit.plugin.one_line import read_chain
from decodekit.plugin.parameters import without_numpy
from decodekit.plugin.presets import read_recipe
from decodekit.plugin.wording import explained
from decodekit.types import PathLike

__all__ = ["check_session_part", "load_config", "read_config_bytes", "read_toml"]


def load_config(source: PathLike | Mapping[str, Any], *, profile: str | None = None) -> Config:
    """Read and check a configuration.

    The variables ``DECODEKIT__TABLE__KEY`` of the environment are laid over a file, and not over a dict, which a
    program has made. See `decodekit.config.layers` for how values are merged.

    Args:
        source: the path of a TOML file or of a pipe that is written to, or a dict of the same structure.
        profile: the ``[profiles.NAME]`` to lay over the rest.

    Raises:
        ConfigError: the file cannot be read, is not TOML, has an unknown key or a wrong value, or no such profile; or
            a variable of the environment names no setting.
    """
    if not isinstance(source, str | os.PathLike | Mapping):
        raise ConfigError(f"a configuration is the path of a .toml file, or a dict, not {brief(source)}")
    if isinstance(source, Mapping):
        return _resolved(without_numpy(source), "the configuration", profile, {})
    where = str(source)
    try:
        written = read_bytes(source)
    except OSError as error:
        by_name = f"; decodekit.open({where!r}) opens a model by its name" if Path(where).suffix != ".toml" else ""
        raise ConfigError(f"cannot read {where}: {error.strerror}{by_name}") from error
    except ValueError as error:  # a name with a zero byte
        raise ConfigError(f"cannot read {where!r}: {error}") from error
    return read_config_bytes(written, where, profile=profile)


def check_session_part(given: Mapping[str, Any], owner: str) -> None:
    """Check options of a session as those of a configuration. Raises `ParameterError`, which names the owner."""
    validated(SessionPart, without_numpy(given), owner)


def read_config_bytes(written: bytes, where: str, *, profile: str | None = None) -> Config:
    """As `load_config`, from the bytes of a file. The other arguments are those of `read_toml` and `load_config`."""
    return _resolved(read_toml(written, where), where, profile, os.environ)


def read_toml(written: bytes, where: str) -> dict[str, Any]:
    """The data of a configuration in TOML, not checked yet.

    Args:
        written: the bytes of the file; a byte order mark is skipped.
        where: the name of the file, for the error.

    Raises:
        ConfigError: it is not TOML.
    """
    try:
        return tomllib.loads(written.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # not TOML or UTF-8, a number of thousands of digits, too deep
        said = message_of(error)
        hint = "; a text is written in quotes" if said.startswith("Invalid value") else ""
        raise ConfigError(f"{where} is not valid TOML: {said}{hint}") from error


def _resolved(data: Mapping[str, Any], where: str, profile: str | None, environment: Mapping[str, str]) -> Config:
    """All layers in one configuration, checked."""
    own = {key: value for key, value in data.items() if key != "profiles"}
    layers = [Layer(own, where), *profile_of(data, profile, where), *environment_layers(environment)]
    notes: tuple[str, ...] = ()
    plain = []
    for layer in layers:
        written, told = _written_out(layer)
        notes = told if "chain" in written else notes
        plain.append(Layer(written, layer.origin))
    whole, origins = merged(plain)
    try:
        return Config.of(whole, notes, origins)
    except ValidationError as error:
        said = explained(error.errors(), whole, _keys, _blamed(error, origins, where))
        raise ConfigError(said + _way_out(whole)) from None


def _way_out(whole: Mapping[str, Any]) -> str:
    """What to write where the adapter is missing, or a setting stands outside its table."""
    adapter = whole.get("adapter")
    if adapter is None or (isinstance(adapter, Mapping) and "type" not in adapter):
        return '; write [adapter] and below it type = "llamacpp", or another adapter, and its parameters'
    chain = whole.get("chain")
    if isinstance(chain, list) and any(isinstance(part, Mapping) and "name" not in part for part in chain):
        return '; write name = "top_p", or another processor, below [[chain]]'
    outside = next((key for key in whole if key in SessionPart.model_fields), None)
    return "" if outside is None else f"; write {outside} below [session]"


def _written_out(layer: Layer) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A layer as plain tables, and the notes of its preset.

    An adapter's ``name`` is its ``type``. A chain that is a text or a preset is a list, and brings its sampler.
    """
    data = dict(layer.data)
    adapter, chain = data.get("adapter"), data.get("chain")
    if isinstance(adapter, Mapping) and "name" in adapter and "type" not in adapter:
        data["adapter"] = {"type" if key == "name" else key: value for key, value in adapter.items()}
    if isinstance(chain, str):
        where = f"{layer.origin}: chain"
        data["chain"], sampler = read_chain(chain, where)
        if sampler is not None and "sampler" in data:
            raise ConfigError(
                f"{where} ends with the sampler {sampler['name']!r}, and [sampler] is there too; leave one out"
            )
        return {**data, **({} if sampler is None else {"sampler": sampler})}, ()
    if not isinstance(chain, Mapping):
        return data, ()
    if not difflib.get_close_matches("preset", map(str, chain)):
        raise ConfigError(_no_list(layer.origin, chain))
    asked = validated(PresetPart, chain, f"{layer.origin}: [chain]")
    assert isinstance(asked, PresetPart)
    recipe = read_recipe(asked.preset, asked.version, asked.parameters)
    return {**data, "chain": list(recipe.parts), "sampler": data.get("sampler", recipe.sampler)}, recipe.notes


def _no_list(where: str, chain: Mapping[str, Any]) -> str:
    """What to write in place of a [chain] that is neither a list nor a preset."""
    name = next((each for each in (chain.get("name"), *chain) if isinstance(each, str)), "top_p")
    return (
        f"{where}: [chain] is a table, and a chain is a list: write [[chain]] before each processor, with its name in "
        f'name = {name!r}; or chain = "temperature=0.8 top_p=0.95"; or preset = ... for another engine\'s chain'
    )


def _blamed(error: ValidationError, origins: Mapping[tuple[str, str], str], where: str) -> str:
    """The layer in which the first value that is refused was written."""
    place = (*map(str, error.errors()[0]["loc"]), "")
    return origins.get((place[0], place[1]), origins.get((place[0], ""), where))


def _keys(place: tuple[str | int, ...]) -> list[str]:
    model: type[BaseModel] = SessionPart if place[:1] == ("session",) else Config
    return list(model.model_fields)
