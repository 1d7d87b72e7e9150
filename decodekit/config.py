"""Configuration: a TOML file, or the same structure as a dict, checked before anything is built.

A config names registered plugins and gives them parameters; it never names code. Secrets stay in the environment: an
adapter that needs one takes the *name* of a variable (``api_key_env``), never the secret.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator

from decodekit.chain import Chain
from decodekit.chain.advice import advice
from decodekit.draw.context import MOST_TOKENS
from decodekit.errors import ConfigError, message_of
from decodekit.local.files import read_bytes
from decodekit.log import get_logger
from decodekit.plugin import explain, registry, validated
from decodekit.plugin.parameters import parameter_schema, without_numpy
from decodekit.plugin.presets import read_recipe
from decodekit.types import PathLike

__all__ = ["Config", "config_schema", "load_config", "read_toml"]

_advised: set[str] = set()


class _Part(BaseModel):
    """A plugin by name. All other keys are the plugin's parameters, checked by the plugin's own model."""

    model_config = ConfigDict(extra="allow", frozen=True)

    def parameters(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class _AdapterPart(_Part):
    type: str


class _NamedPart(_Part):
    name: str


class _PresetPart(BaseModel):
    """The chain of another engine: the engine's name, and settings in the engine's parameter names."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    preset: str
    version: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)


class _SessionPart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    seed: Annotated[int, Field(ge=0, lt=2**64)] | None = None
    max_tokens: Annotated[int, Field(ge=0, le=MOST_TOKENS)] = 256
    on_undisclosed: Literal["error", "truncate"] = "error"
    top_logprobs: Annotated[int, Field(ge=0, le=1000)] = 5


class Config(BaseModel):
    """A whole configuration, read and checked. A chain that names a preset is replaced by the preset's processors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    adapter: _AdapterPart
    chain: list[_NamedPart] = Field(default_factory=list, max_length=1000)
    sampler: _NamedPart = _NamedPart(name="multinomial")
    guesser: _NamedPart | None = None
    session: _SessionPart = _SessionPart()
    _notes: tuple[str, ...] = PrivateAttr(default=())

    @field_validator("sampler", "guesser", mode="before")
    @classmethod
    def _by_name_alone(cls, value: Any) -> Any:
        """``sampler = "greedy"`` is a part without parameters."""
        return {"name": value} if isinstance(value, str) else value

    @property
    def notes(self) -> tuple[str, ...]:
        """Which settings the engine of a preset ignores; empty for a chain that is listed."""
        return self._notes

    def build_adapter(self) -> Any:
        """Build the adapter that the configuration names."""
        return registry.adapter(self.adapter.type, **self.adapter.parameters())

    def build_chain(self) -> Chain:
        """Build the chain, in the order of the list. Advice is logged as warnings, each message once per process."""
        parts = [{"name": part.name, **part.parameters()} for part in (*self.chain, self.sampler)]
        chain = Chain.from_parts(parts[:-1], parts[-1], self._notes)
        for item in advice(chain):
            if item.message not in _advised:
                _advised.add(item.message)
                get_logger().warning("chain advice", rule=item.rule, advice=item.message, source=item.source)
        return chain

    def build_guesser(self) -> Any:
        """Build the guesser; None where there is none."""
        return None if self.guesser is None else registry.guesser(self.guesser.name, **self.guesser.parameters())

    def session_options(self) -> dict[str, Any]:
        """The keyword arguments of `Session`."""
        return self.session.model_dump()

    def as_data(self) -> dict[str, Any]:
        """The resolved configuration, defaults included, as plain data for the record."""
        data = self.model_dump(mode="json")
        if self.guesser is None:
            del data["guesser"]
        return data


def load_config(source: PathLike | Mapping[str, Any]) -> Config:
    """Read and check a configuration.

    Args:
        source: the path of a TOML file or of a pipe that is written to, or a dict of the same structure.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or has an unknown key or a wrong value.
    """
    if isinstance(source, Mapping):
        data, where = without_numpy(source), "the configuration"
    else:
        where = str(source)
        try:
            written = read_bytes(source)
        except OSError as error:
            raise ConfigError(f"cannot read {where}: {error.strerror}") from error
        except ValueError as error:  # a name with a zero byte
            raise ConfigError(f"cannot read {where!r}: {error}") from error
        data = read_toml(written, where)
    try:
        data, notes = _written_out(data)
        config = Config.model_validate(data)
        config._notes = notes
        return config
    except ValidationError as error:
        raise ConfigError(
            "; ".join(explain(detail, _keys(detail["loc"]), where) for detail in error.errors())
        ) from None


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
        raise ConfigError(f"{where} is not valid TOML: {message_of(error)}") from error


def _written_out(data: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The configuration with a preset replaced by its processors, and by its sampler where no other is named."""
    if not isinstance(data.get("chain"), Mapping):
        return data, ()
    asked = validated(_PresetPart, data["chain"], "[chain]")
    assert isinstance(asked, _PresetPart)
    recipe = read_recipe(asked.preset, asked.version, asked.parameters)
    sampler = data.get("sampler", recipe.sampler)
    return {**data, "chain": list(recipe.parts), "sampler": sampler}, recipe.notes


def config_schema() -> dict[str, Any]:
    """The JSON Schema of a configuration with the parameters of every installed plugin that can be imported.

    `load_config` accepts what the schema accepts, with one exception that JSON Schema cannot express: a breaker of
    ``dry`` has at most 40 bytes of UTF-8, and a JSON Schema counts characters.
    """
    schema = Config.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "decodekit configuration"
    schema["$defs"]["adapters_by_name"] = {"anyOf": _variants("adapters", "type")}
    schema["$defs"]["processors_by_name"] = {"anyOf": _variants("processors", "name")}
    schema["$defs"]["samplers_by_name"] = {"anyOf": _variants("samplers", "name")}
    schema["$defs"]["guessers_by_name"] = {"anyOf": _variants("guessers", "name")}
    schema["properties"]["adapter"] = {"$ref": "#/$defs/adapters_by_name"}
    chain = schema["properties"]["chain"]
    chain |= {**_preset_schema(), "type": ["array", "object"], "items": {"$ref": "#/$defs/processors_by_name"}}
    schema["properties"]["guesser"] = _named_or_table(schema, "guessers_by_name")
    schema["properties"]["sampler"] = {**_named_or_table(schema, "samplers_by_name"), "default": "multinomial"}
    for part in ("_AdapterPart", "_NamedPart"):
        schema["$defs"].pop(part, None)
    return schema


def _named_or_table(schema: dict[str, Any], group: str) -> dict[str, Any]:
    """The schema of a table, or of the name alone of a plugin that needs no parameters."""
    alone = [each["properties"]["name"]["const"] for each in schema["$defs"][group]["anyOf"]]
    needy = [each["properties"]["name"]["const"] for each in schema["$defs"][group]["anyOf"] if each["required"][1:]]
    return {"anyOf": [{"$ref": f"#/$defs/{group}"}, {"enum": [name for name in alone if name not in needy]}]}


def _preset_schema() -> dict[str, Any]:
    """The schema of a chain that is a table: a preset."""
    schema = _PresetPart.model_json_schema()
    names = [info.name for info in registry.plugins() if info.group == "presets"]
    properties = {**schema["properties"], "preset": {"enum": names}}
    return {"properties": properties, "required": schema["required"], "additionalProperties": False}


def _variants(group: str, key: str) -> list[dict[str, Any]]:
    variants = []
    for info in registry.plugins():
        if info.group != group:
            continue
        name = registry.spelled(group, info.name, info.distribution)
        try:
            target, _ = registry.load(group, name)
            schema = parameter_schema(target, repr(name))
        except ConfigError:
            continue  # an extra that is not installed, or a broken plugin: its parameters are not known
        properties = {key: {"const": name}, **schema.get("properties", {})}
        variant: dict[str, Any] = {
            "type": "object",
            "properties": properties,
            "required": [key, *schema.get("required", [])],
            "additionalProperties": False,
        }
        variant |= {key: schema[key] for key in ("description", "allOf") if key in schema}
        variants.append(variant)
    return variants


def _keys(where: tuple[Any, ...]) -> list[str]:
    model: type[BaseModel] = _SessionPart if where[:1] == ("session",) else Config
    return list(model.model_fields)
