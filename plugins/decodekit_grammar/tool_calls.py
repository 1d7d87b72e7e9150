"""Definitions of tools in OpenAI's format, and the schema of a call of one of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from decodekit import ParameterError
from decodekit.errors import did_you_mean
from decodekit_grammar.branches import Branches
from decodekit_grammar.keywords import old_draft, parts, rebuilt

__all__ = ["all_of", "call_of", "parameters_of", "require_own_names", "require_tools"]

_FORM = "a tool is {'type': 'function', 'function': {'name': ..., 'parameters': {...}}}"
_WORDS = ("name", "description", "parameters", "strict")  # a call is always strict
_OTHERS = {"input_schema": "Anthropic's", "inputSchema": "MCP's"}  # words for parameters


def require_tools(tools: list[dict[str, Any]]) -> None:
    """Raise `ParameterError` for a tool without a name or with that of another, and for a word that means nothing."""
    names: set[str] = set()
    for at, tool in enumerate(tools):
        kind = tool.get("type", "function")
        if kind != "function":
            raise ParameterError(f"tools[{at}]: its type is {kind!r}; {_FORM}")
        function = tool.get("function", tool)
        name = function.get("name") if isinstance(function, Mapping) else None
        if not isinstance(name, str) or not name:
            raise ParameterError(f"tools[{at}]: {_FORM}, and this one has no name")
        if name in names:
            raise ParameterError(f"tools[{at}]: there is another tool named {name!r}")
        names.add(name)
        if function is not tool:
            _require_known(f"tools[{at}]", tool, ("type", "function"))
        _require_known(f"tools[{at}] ({name})", function, _WORDS if function is not tool else ("type", *_WORDS))


def _require_known(where: str, given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for word in given:
        if word in _OTHERS and "parameters" in known:
            raise ParameterError(f"{where}: {word!r} is {_OTHERS[word]} word; in OpenAI's format it is 'parameters'")
        if word not in known:
            raise ParameterError(f"{where}: {word!r} has no meaning here{did_you_mean(word, known)}")


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
