"""``decodekit plugins``: what is installed, and what one plugin takes."""

from __future__ import annotations

import inspect
import textwrap
from typing import Annotated, Any

import typer

from decodekit import registry
from decodekit.cli.options import JsonFlag
from decodekit.cli.output import console, put_json, show_table, table
from decodekit.cli.safe_text import safe_text
from decodekit.errors import ConfigError, UnknownPlugin
from decodekit.plugin import did_you_mean, parameter_model

__all__ = ["plugins"]

_BOUNDS = (("minimum", ">="), ("exclusiveMinimum", ">"), ("maximum", "<="), ("exclusiveMaximum", "<"))


def plugins(
    name: Annotated[str | None, typer.Argument(help="Show this one: what it does and what it takes.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List the plugins that are installed, importing none of them; or show one."""
    found = registry.plugins()
    if name is not None:
        chosen = [info for info in found if info.name == name]
        if not chosen:
            raise UnknownPlugin(f"no plugin is named {name!r}{did_you_mean(name, {info.name for info in found})}")
        described = [_describe(info) for info in chosen]
        if as_json:
            put_json(described[0] if len(described) == 1 else described)
        else:
            for data in described:
                _show(data)
    elif as_json:
        put_json([{key: getattr(info, key) for key in info.__slots__} for info in found])
    else:
        listing = table("name", "group", "distribution", "version", "loaded")
        for info in found:
            cells = (info.name, info.group, info.distribution, info.version, "yes" if info.loaded else "no")
            listing.add_row(*(safe_text(cell) for cell in cells))
        show_table(console(), listing)


def _describe(info: registry.PluginInfo) -> dict[str, Any]:
    target, loaded = registry.load(info.group, info.name)
    model = parameter_model(target)
    try:
        schema = model.model_json_schema()
    except Exception as error:  # a parameter that is no JSON type; pydantic has several errors for that
        raise ConfigError(f"the parameters of {info.name!r} have no schema: {error}") from error
    definitions, required = schema.get("$defs", {}), schema.get("required", [])
    parameters = {
        name: _parameter(name, rule, definitions, name in required)
        for name, rule in schema.get("properties", {}).items()
    }
    return {
        "name": info.name,
        "group": info.group,
        "distribution": loaded.distribution,
        "version": loaded.version,
        "documentation": inspect.getdoc(target) or "",
        "parameters": parameters,
    }


def _parameter(name: str, rule: dict[str, Any], definitions: dict[str, Any], required: bool) -> dict[str, Any]:
    described = {"type": _type(rule, definitions), "bounds": _bounds(rule), "required": required}
    return described if required else {**described, "default": rule.get("default")}


def _type(rule: dict[str, Any], definitions: dict[str, Any]) -> str:
    if "$ref" in rule:
        rule = definitions.get(rule["$ref"].rsplit("/", 1)[-1], {})
    if "enum" in rule or "const" in rule:
        return " or ".join(repr(value) for value in rule.get("enum", [rule.get("const")]))
    choices = rule.get("anyOf") or rule.get("oneOf")
    if choices:
        return " or ".join(dict.fromkeys(_type(choice, definitions) for choice in choices))
    if rule.get("type") == "array":
        return f"array of {_type(rule.get('items', {}), definitions)}"
    return str(rule.get("type", "anything"))


def _bounds(rule: dict[str, Any]) -> str:
    rules = [rule, *rule.get("anyOf", []), rule.get("items", {})]
    return ", ".join(f"{sign} {part[key]}" for part in rules for key, sign in _BOUNDS if key in part)


def _reflowed(text: str, width: int) -> str:
    """A docstring for a narrower page: paragraphs and entries filled anew, an entry's later lines indented."""
    entries: list[tuple[int, str]] = []
    for line in text.splitlines():
        words, indent = line.strip(), len(line) - len(line.lstrip())
        before, said = entries[-1] if entries else (0, "")
        if words and said and not said.endswith(":") and (indent == before == 0 or indent > before):
            entries[-1] = before, f"{said} {words}"
        else:
            entries.append((indent, words))
    return "\n".join(
        textwrap.fill(
            words,
            width,
            initial_indent=" " * indent,
            subsequent_indent=" " * (indent and indent + 4),
            break_long_words=False,
            break_on_hyphens=False,
        )
        for indent, words in entries
    )


def _show(data: dict[str, Any]) -> None:
    from rich.text import Text

    out = console()
    origin = f"{data['group'][:-1]}, {data['distribution'] or 'this process'} {data['version']}".strip()
    out.print(Text.assemble((safe_text(data["name"]), "bold"), f"  ({safe_text(origin)})"))
    if data["documentation"]:
        out.print(Text(safe_text(_reflowed(data["documentation"], out.width), newlines=True)))
    if data["parameters"]:
        out.print()
        listing = table("parameter", "type", "bounds", "default")
        for name, rule in data["parameters"].items():
            default = "required" if rule["required"] else repr(rule["default"])
            listing.add_row(*(Text(safe_text(cell)) for cell in (name, rule["type"], rule["bounds"], default)))
        show_table(out, listing)
