"""The schema of a call of one of several tools, from their definitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from decodekit import ParameterError
from decodekit_grammar.branches import Branches
from decodekit_grammar.keywords import old_draft, parts, rebuilt

__all__ = ["all_of", "call_of", "parameters_of", "require_own_names"]


def require_own_names(tools: list[dict[str, Any]]) -> None:
    """Raise `ParameterError` where one ``$id`` is of two schemas: a reference to it would mean either."""
    found: dict[str, Any] = {}
    for at, tool in enumerate(tools):
        for _, part in parts(parameters_of(tool)):
            name = part.get("$id")
            if isinstance(name, str) and ":" in name and found.setdefault(name, part) != part:
                raise ParameterError(f"tools[{at}]: another tool has a schema with the $id {name!r}; give it its own")


def parameters_of(tool: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a tool's arguments.

    Raises:
        ParameterError: it is not a mapping.
    """
    given = tool.get("function", tool).get("parameters")
    if given is not None and not isinstance(given, dict):
        raise ParameterError(f"a JSON Schema of an object, which is a mapping, not {given!r}")
    return given or {"type": "object", "properties": {}, "additionalProperties": False}


def call_of(tools: list[dict[str, Any]]) -> dict[str, Any]:
    """The schema of a call."""
    calls = [
        {
            "type": "object",
            "properties": {"name": {"const": tool.get("function", tool)["name"]}, "arguments": arguments},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for tool, arguments in zip(tools, _arguments(tools), strict=True)
    ]
    return calls[0] if len(calls) == 1 else {"anyOf": calls}


def all_of(tools: list[dict[str, Any]]) -> dict[str, Any]:
    """The schema of an object with the arguments of every tool: no value is valid where one has none."""
    named = {str(at): arguments for at, arguments in enumerate(_arguments(tools))}
    return {"type": "object", "properties": named, "required": [*named], "additionalProperties": False}


def _arguments(tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [_as_document(parameters_of(tool), f"decodekit:///tools/{at}/") for at, tool in enumerate(tools)]


def _as_document(schema: dict[str, Any], name: str) -> dict[str, Any]:
    """A schema as a document of its own in another: what it refers to is in itself."""
    own = schema.get("$id")
    named: dict[str, Any] = {"$id": own if isinstance(own, str) and not own.startswith("#") else name}
    new: dict[str, Any] = {**rebuilt(schema, Branches(schema).separate), **named}
    if "$ref" in new and old_draft(schema):  # there, nothing beside it counts, not even the $id
        new["allOf"] = [{"$ref": new.pop("$ref")}]
    return new
