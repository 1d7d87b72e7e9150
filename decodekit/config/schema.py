"""The JSON Schema of a configuration."""

from __future__ import annotations

from typing import Any

from decodekit.config.model import Config, PresetPart
from decodekit.errors import ConfigError
from decodekit.plugin import registry
from decodekit.plugin.installed import PluginInfo
from decodekit.plugin.parameters import parameter_schema

__all__ = ["config_schema"]

_NO_GUESSER = {
    "type": "object",
    "properties": {"name": {"enum": ["none"]}},
    "required": ["name"],
    "additionalProperties": False,
}


def config_schema() -> dict[str, Any]:
    """The JSON Schema of a configuration with the parameters of every installed plugin that can be imported.

    What the schema accepts, `load_config` and `Config.check` accept too, and the other way round. JSON Schema cannot
    express eight things: the grammar of a chain written as one text, which may end with a sampler and then allows no
    other; the parameters of a preset, which have several spellings; that ``min_ngram`` is at most ``max_ngram``; the
    bytes of UTF-8 that a breaker of ``dry`` may have; that the variable of a watermark's ``key_env`` holds its key;
    what a grammar, a regular expression or a JSON Schema of a constraint may be; the last details of a URL; and that
    7.0 is no integer in TOML.
    """
    schema = Config.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "decodekit configuration"
    schema["$defs"]["adapters_by_name"] = {"anyOf": [_also_by_name(each) for each in _variants("adapters", "type")]}
    schema["$defs"]["processors_by_name"] = {"anyOf": _variants("processors", "name")}
    schema["$defs"]["samplers_by_name"] = {"anyOf": _variants("samplers", "name")}
    schema["$defs"]["guessers_by_name"] = {"anyOf": [*_variants("guessers", "name"), _NO_GUESSER]}
    properties = schema["properties"]
    properties["adapter"] = {"$ref": "#/$defs/adapters_by_name"}
    chain = properties["chain"]
    items = {"items": {"$ref": "#/$defs/processors_by_name"}}
    chain |= {**_preset_schema(), **items, "type": ["array", "object", "string"]}
    guesser = _named_or_table(schema, "guessers_by_name")
    properties["guesser"] = {"anyOf": [*guesser["anyOf"], {"type": "null"}]}
    properties["sampler"] = {**_named_or_table(schema, "samplers_by_name"), "default": "multinomial"}
    properties["profiles"] = _profiles_schema(properties)
    for part in ("AdapterPart", "NamedPart"):
        schema["$defs"].pop(part, None)
    return schema


def _profiles_schema(properties: dict[str, Any]) -> dict[str, Any]:
    """The schema of profiles: parts of a configuration, whose values are checked when a profile is used."""
    parts: dict[str, Any] = {name: {} for name in properties}
    profile = {"type": "object", "properties": parts, "additionalProperties": False}
    return {"type": "object", "additionalProperties": profile}


def _also_by_name(variant: dict[str, Any]) -> dict[str, Any]:
    """An adapter that is named by ``name`` in place of ``type``."""
    if "name" in variant["properties"]:
        return variant
    required = [key for key in variant["required"] if key != "type"]
    properties = {**variant["properties"], "name": variant["properties"]["type"]}
    either = [{"required": ["type"]}, {"required": ["name"]}]
    return {**variant, "properties": properties, "required": required, "oneOf": either}


def _named_or_table(schema: dict[str, Any], group: str) -> dict[str, Any]:
    """The schema of a table, or of the name alone of a plugin that needs no parameters."""
    simple = [each for each in schema["$defs"][group]["anyOf"] if not each["required"][1:]]
    names = [name for each in simple for name in each["properties"]["name"]["enum"]]
    return {"anyOf": [{"$ref": f"#/$defs/{group}"}, {"enum": names}]}


def _preset_schema() -> dict[str, Any]:
    """The schema of a chain that is a table: a preset, with its parameters by any of their spellings."""
    schema = PresetPart.model_json_schema()
    presets = [info for info in registry.plugins() if info.group == "presets"]
    names = [name for info in presets for name in _names(info)]
    properties = {**schema["properties"], "preset": {"enum": names}}
    return {"properties": properties, "required": schema["required"], "additionalProperties": False}


def _names(info: PluginInfo) -> list[str]:
    """How a plugin may be named: its name, unless that is of another one, and its name behind its distribution."""
    alone = registry.spelled(info.group, info.name, info.distribution)
    in_front = f"{info.distribution}:{info.name}"
    return [alone] if alone == in_front or not info.distribution else [alone, in_front]


def _variants(group: str, key: str) -> list[dict[str, Any]]:
    variants = []
    for info in registry.plugins():
        if info.group != group:
            continue
        names = _names(info)
        name = names[0]
        try:
            target, _ = registry.load(group, name)
            schema = parameter_schema(target, repr(name))
        except ConfigError:
            continue  # an extra that is not installed, or a broken plugin: its parameters are not known
        properties = {key: {"enum": names}, **schema.get("properties", {})}
        variant: dict[str, Any] = {
            "type": "object",
            "properties": properties,
            "required": [key, *schema.get("required", [])],
            "additionalProperties": False,
        }
        variant |= {key: schema[key] for key in ("description", "allOf") if key in schema}
        variants.append(variant)
    return variants
