"""The description of a plugin's parameters, from their JSON Schema."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from decodekit.plugin.parameters import parameter_schema

__all__ = ["parameters_of"]

_BOUNDS = (("minimum", ">="), ("exclusiveMinimum", ">"), ("maximum", "<="), ("exclusiveMaximum", "<"))


def parameters_of(target: Callable[..., Any], name: str) -> dict[str, dict[str, Any]]:
    """Each parameter by name, the main one first: type, bounds, whether it is required, default and meaning.

    Raises:
        ConfigError: they cannot be read, or have no schema.
    """
    schema = parameter_schema(target, repr(name))
    definitions, required = schema.get("$defs", {}), schema.get("required", [])
    rules = sorted(schema.get("properties", {}).items(), key=lambda item: item[0] != name)  # the main parameter first
    return {key: _parameter(rule, definitions, key in required) for key, rule in rules}


def _parameter(rule: dict[str, Any], definitions: dict[str, Any], required: bool) -> dict[str, Any]:
    described = {"type": _type(rule, definitions), "bounds": _bounds(rule), "required": required}
    if not required:
        described["default"] = rule.get("default")
    descriptions = [part["description"] for part in (rule, *rule.get("anyOf", [])) if "description" in part]
    return {**described, "meaning": descriptions[0]} if descriptions else described


def _type(rule: dict[str, Any], definitions: dict[str, Any]) -> str:
    if "$ref" in rule:
        rule = definitions.get(rule["$ref"].rsplit("/", 1)[-1], {})
    if "enum" in rule or "const" in rule:
        return " or ".join(repr(value) for value in rule.get("enum", [rule.get("const")]))
    choices = rule.get("anyOf") or rule.get("oneOf")
    if choices:
        return " or ".join(dict.fromkeys(_type(choice, definitions) for choice in choices))
    if "prefixItems" in rule:
        return f"[{', '.join(_type(item, definitions) for item in rule['prefixItems'])}]"
    inner = rule.get("items") or rule.get("additionalProperties")
    if isinstance(inner, dict):
        of = _type(inner, definitions)
        return f"{rule['type']} of {f'({of})' if ' or ' in of and not of.startswith('[') else of}"
    return str(rule.get("type", "anything"))


def _bounds(rule: dict[str, Any]) -> str:
    rules = [rule, *rule.get("anyOf", []), rule.get("items", {})]
    return ", ".join(f"{sign} {_number(part[key])}" for part in rules for key, sign in _BOUNDS if key in part)


def _number(value: float) -> str:
    """2**63 is easier to read than its digits."""
    return (
        f"2**{value.bit_length() - 1}"
        if isinstance(value, int) and value.bit_count() == 1 < value >> 31
        else str(value)
    )
