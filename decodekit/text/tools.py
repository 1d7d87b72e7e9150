"""Definitions of tools in OpenAI's format, and the choice among them: checked, for a grammar or for a provider."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from decodekit.errors import ParameterError, brief, did_you_mean

__all__ = ["Tools", "require_tools"]

_FORM = "a tool is {'type': 'function', 'function': {'name': ..., 'parameters': {...}}}"
_WORDS = ("name", "description", "parameters", "strict")
_OTHERS = {"input_schema": "Anthropic's", "inputSchema": "MCP's"}  # words for parameters
_CHOICES = ("auto", "none", "required")
_NAMED = "{'type': 'function', 'function': {'name': ...}}"
_MOST = 1000


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools that a provider's model may call.

    Args:
        functions: ``name``, and where they were given ``description``, ``parameters`` and ``strict``, of each.
        choice: 'auto', 'none', 'required', or the name of the tool that must be called as ``(name,)``; None where the
            caller leaves it to the provider.
    """

    functions: tuple[dict[str, Any], ...]
    choice: str | tuple[str] | None = None

    @classmethod
    def of(cls, tools: Any, choice: Any = None) -> Tools | None:
        """The options ``tools`` and ``tool_choice`` of a call, checked; None without a tool.

        Raises:
            ParameterError: they are not of OpenAI's format; the message names the tool and the word.
        """
        if tools is None or (isinstance(tools, Sequence) and not tools):
            if choice in (None, "auto", "none"):
                return None
            raise ParameterError(f"tool_choice is {brief(choice)}, and no tool is given; give tools=[...] with it")
        if isinstance(tools, str | bytes | Mapping) or not isinstance(tools, Sequence):
            raise ParameterError(f"tools is a list of definitions, not {brief(tools)}; {_FORM}")
        if len(tools) > _MOST:
            raise ParameterError(f"tools has {len(tools)} definitions; at most {_MOST} are allowed")
        require_tools(tools)
        functions = tuple(_plain(tool.get("function", tool), at) for at, tool in enumerate(tools))
        for function in functions:
            function.pop("type", None)
        return cls(functions, _choice(choice, [function["name"] for function in functions]))

    @property
    def names(self) -> list[str]:
        """Of the tools."""
        return [function["name"] for function in self.functions]

    @property
    def must_call(self) -> bool:
        """Whether the answer has to call a tool."""
        return self.choice is not None and self.choice not in ("auto", "none")

    def definitions(self) -> list[dict[str, Any]]:
        """The definitions in OpenAI's format."""
        return [{"type": "function", "function": dict(function)} for function in self.functions]

    def chosen(self) -> Any:
        """The choice in OpenAI's format; None where there is none."""
        if isinstance(self.choice, tuple):
            return {"type": "function", "function": {"name": self.choice[0]}}
        return self.choice


def require_tools(tools: Sequence[Any]) -> None:
    """Raise `ParameterError` for a tool without a name or with that of another, and for a word that means nothing."""
    names: set[str] = set()
    for at, tool in enumerate(tools):
        if not isinstance(tool, Mapping):
            raise ParameterError(f"tools[{at}] is {brief(tool)}; {_FORM}")
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


def _plain(function: Mapping[str, Any], at: int) -> dict[str, Any]:
    """A copy of a definition as plain JSON, without what is None."""
    where = f"tools[{at}] ({function['name']})"
    kinds = {"description": (str, "a text"), "parameters": (Mapping, "a JSON Schema of an object, which is a mapping"),
             "strict": (bool, "true or false")}  # fmt: skip
    for word, (kind, what) in kinds.items():
        if function.get(word) is not None and not isinstance(function[word], kind):
            raise ParameterError(f"{where}: {word} is {what}, not {brief(function[word])}")
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(function), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ParameterError(f"{where}: it is not plain JSON: {error}") from error
    return {word: value for word, value in plain.items() if value is not None}


def _choice(choice: Any, names: Sequence[str]) -> str | tuple[str] | None:
    if choice is None or (isinstance(choice, str) and choice in _CHOICES):
        return choice
    if isinstance(choice, Mapping) and choice.get("type", "function") == "function":
        named = choice.get("function", choice)
        name = named.get("name") if isinstance(named, Mapping) else None
        if isinstance(name, str) and name in names:
            return (name,)
        if isinstance(name, str):
            raise ParameterError(f"tool_choice: there is no tool {name!r}{did_you_mean(name, names)}")
    if isinstance(choice, str) and choice in names:
        form = _NAMED.replace("...", repr(choice))
        raise ParameterError(f"tool_choice: to have the tool {choice!r} called, write {form}")
    raise ParameterError(f"tool_choice is {', '.join(map(repr, _CHOICES))} or {_NAMED}, not {brief(choice)}")
