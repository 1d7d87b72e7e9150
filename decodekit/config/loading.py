"""From a file or a dict to a checked `Config`."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from decodekit.config.layers import PREFIX, Layer, environment_layers, merged, profile_of, quoting
from decodekit.config.model import Config, PresetPart, SessionPart
from decodekit.errors import ConfigError, brief, message_of
from decodekit.local.files import read_bytes
from decodekit.plugin import validated
from decodekit.plugin.one_line import read_chain
from decodekit.plugin.parameters import without_numpy
from decodekit.plugin.presets import read_recipe
from decodekit.plugin.wording import explained
from decodekit.types import PathLike

__all__ = ["check_session_part", "config_bytes", "load_config", "read_config_bytes", "read_toml"]


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
    return read_config_bytes(config_bytes(source), str(source), profile=profile)


def config_bytes(source: PathLike) -> bytes:
    """The bytes of a configuration's file. Raises `ConfigError` where it cannot be read."""
    where = str(source)
    try:
        return read_bytes(source)
    except OSError as error:
        by_name = (
            f"; decodekit.open({where!r}) opens a model by its name" if Path(where).suffix.lower() != ".toml" else ""
        )
        raise ConfigError(f"cannot read {where}: {error.strerror}{by_name}") from error
    except ValueError as error:  # a name with a zero byte
        raise ConfigError(f"cannot read {where!r}: {error}") from error


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
        notes = told if "chain" in written.data else notes
        plain.append(written)
    _refuse_two_samplers([layer for layer in plain if layer.origin.startswith(PREFIX)])
    found = merged(plain)
    try:
        return Config.of(found, notes)
    except ValidationError as error:
        owner = _blamed(error, found.origins, where)
        said = explained(error.errors(), found.data, _keys, owner)
        quotes = quoting(said) if owner.startswith(PREFIX) else ""
        raise ConfigError(said + (quotes or _way_out(found.data))) from None


def _refuse_two_samplers(environment: Sequence[Layer]) -> None:
    """Refuse variables that name a sampler twice: none of them is laid over the other."""
    chain = next((layer for layer in environment if layer.sampler_of_chain), None)
    other = next((layer for layer in environment if "sampler" in layer.data and layer is not chain), None)
    if chain is not None and other is not None:
        name = chain.data["sampler"]["name"]
        raise ConfigError(
            f"{chain.origin} ends with the sampler {name!r}, and {other.origin} is set too; leave one out"
        )


def _way_out(whole: Mapping[str, Any]) -> str:
    """What to write where the adapter is missing, or a setting stands outside its table."""
    adapter = whole.get("adapter")
    if not isinstance(adapter, Mapping) or "type" not in adapter:
        return '; write [adapter] and below it type = "llamacpp", or another adapter, and its parameters'
    chain = whole.get("chain")
    parts = [("[[chain]]", "top_p", "processor", each) for each in (chain if isinstance(chain, list) else ())]
    parts += [
        ("[sampler]", "greedy", "sampler", whole.get("sampler")),
        ("[guesser]", "prompt_lookup", "guesser", whole.get("guesser")),
    ]
    for table, name, kind, part in parts:
        if table == "[[chain]]" and isinstance(part, str):
            return f"; a chain of texts is one text: chain = {_toml(' '.join(map(str, whole['chain'])))}"
        if isinstance(part, Mapping) and "name" not in part:
            if "type" in part:
                return f"; what [adapter] calls type is called name: name = {_toml(part['type'])} below {table}"
            return f'; write name = "{name}", or another {kind}, below {table}'
    outside = next((key for key in whole if key in SessionPart.model_fields), None)
    return "" if outside is None else f"; write {outside} below [session]"


def _written_out(layer: Layer) -> tuple[Layer, tuple[str, ...]]:
    """A layer as plain tables, and the notes of its preset.

    An adapter's ``name`` is its ``type``, and the name alone of a sampler or guesser is a table; the guesser ``none``
    is no guesser. A chain that is a text or a preset is a list, and brings its sampler.
    """
    data = dict(layer.data)
    data |= {key: {"name": data[key]} for key in ("sampler", "guesser") if isinstance(data.get(key), str)}
    if data.get("guesser") == {"name": "none"}:
        data["guesser"] = None
    adapter, chain = data.get("adapter"), data.get("chain")
    if isinstance(adapter, Mapping) and {"name", "type"} <= adapter.keys():
        raise ConfigError(f"{layer.origin}: [adapter] has type and name, which mean the same; leave one out")
    if isinstance(adapter, Mapping) and "name" in adapter:
        data["adapter"] = {"type" if key == "name" else key: value for key, value in adapter.items()}
    if isinstance(chain, str):
        where = f"{layer.origin}: chain"
        data["chain"], sampler = read_chain(chain, where)
        if sampler is not None and "sampler" in data:
            raise ConfigError(
                f"{where} ends with the sampler {sampler['name']!r}, and [sampler] is there too; leave one out"
            )
        brought = {} if sampler is None else {"sampler": sampler}
        return Layer({**data, **brought}, layer.origin, sampler is not None), ()
    if not isinstance(chain, Mapping):
        return Layer(data, layer.origin), ()
    if not difflib.get_close_matches("preset", map(str, chain)):
        raise ConfigError(_no_list(layer.origin, chain))
    asked = validated(PresetPart, chain, f"{layer.origin}: [chain]")
    assert isinstance(asked, PresetPart)
    recipe = read_recipe(asked.preset, asked.version, asked.parameters)
    own = "sampler" in data
    data |= {"chain": list(recipe.parts), "sampler": data["sampler"] if own else recipe.sampler}
    return Layer(data, layer.origin, not own), recipe.notes


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
    in_table = next((origin for (table, _), origin in origins.items() if table == place[0]), where)
    return origins.get((place[0], place[1]), origins.get((place[0], ""), in_table))


def _toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def _keys(place: tuple[str | int, ...]) -> list[str]:
    model: type[BaseModel] = SessionPart if place[:1] == ("session",) else Config
    return [*model.model_fields, *(["profiles"] if not place else [])]
