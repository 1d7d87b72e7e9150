"""Calls of tools in free text: after a trigger comes a JSON object that one of the tools accepts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

from pydantic import Field, field_validator

from decodekit import ParameterError
from decodekit.text.tools import require_tools
from decodekit_grammar.json_schema import JsonConstraint
from decodekit_grammar.schemas import checked_schema, refused, require_supported_words
from decodekit_grammar.texts import begun_by
from decodekit_grammar.thinking import quoted
from decodekit_grammar.tool_calls import all_of, call_of, parameters_of, require_own_names
from decodekit_grammar.writable import is_writable

__all__ = ["Tools"]

_BLANKS = "/[ \\n]{0,2}/"


class Tools(JsonConstraint):
    """Allow free text with calls of these tools, given in OpenAI's format.

    A call is the text ``trigger``, an object with the ``name`` of a tool and its ``arguments``, and the text ``end``.
    Use the form that the model was trained on. A mark that is a control token of the model is that token.

    Formula: -inf for every token that cannot continue a call that was begun
    Edges: outside of a call every text is allowed; with ``required`` the text holds at least one call.
    Source: OpenAI's tools; the lazy lexemes of llguidance.
    Engines: vLLM and SGLang under tool_choice; llama.cpp.
    Example: tools = [{name = "now", parameters = {type = "object"}}]

    Raises:
        ParameterError: a tool has no name, or parameters that are not supported; there is no tokenizer.
        EmptySupport: no allowed token has probability.
    """

    tools: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=1000)]
    trigger: Annotated[str, Field(min_length=1, max_length=200)] = "<tool_call>"
    end: Annotated[str, Field(min_length=1, max_length=200)] = "</tool_call>"
    required: bool = False

    @field_validator("tools")
    @classmethod
    def _callable(cls, tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
        require_tools(tools)
        for at, tool in enumerate(tools):
            with _naming(f"tools[{at}], parameters"):
                require_supported_words(parameters_of(tool))
        require_own_names(tools)
        if refused(all_of(tools)) is not None:  # one of them is not possible, which anyOf alone would not tell
            for at, tool in enumerate(tools):
                with _naming(f"tools[{at}], parameters"):
                    checked_schema(parameters_of(tool))
        with _naming("the tools together"):
            checked_schema(call_of(tools))
        return tools

    @property
    def mark_texts(self) -> dict[str, str]:
        return {**super().mark_texts, "trigger": self.trigger, "end": self.end}

    def value(self, parts: Sequence[str]) -> list[Any]:
        """The calls in a complete text: objects with ``name`` and ``arguments``."""
        return [json.loads(call) for call in parts]

    def is_writable(self, missing: frozenset[int]) -> bool:
        return not self.required or is_writable(call_of(self.tools), missing)

    @property
    def expression(self) -> str:
        return f"call{'+' if self.required else '*'} TEXT"

    def more_rules(self, control: Mapping[str, int]) -> str:
        end = f"<[{control[self.end]}]>" if self.end in control else quoted(self.end)
        return (
            f"call: call_head call_rest\n{self._head('call_head', 'TEXT', control)}\n"
            f"call_rest: {_BLANKS} call_body {_BLANKS} {end}\n"
            f"call_body: {self.written(call_of(self.tools))}\nTEXT: /(.|\\n)*/"
        )

    def first_rules(self, mark: str, control: Mapping[str, int]) -> str:
        others = "" if self.required else " | FIRST_TEXT"
        return (
            f"first: first_head call_rest call* TEXT{others}\n{self._head('first_head', 'FIRST_TEXT', control)}\n"
            f"FIRST_TEXT: /(.|\\n)*/ & ~{begun_by(mark)}"
        )

    def _head(self, name: str, before: str, control: Mapping[str, int]) -> str:
        """A rule for free text up to a trigger."""
        if self.trigger in control:
            return f"{name}: {before} <[{control[self.trigger]}]>"
        return f"{name}[lazy]: {before} {quoted(self.trigger)}"


@contextmanager
def _naming(what: str) -> Iterator[None]:
    """Say in an error what it is of."""
    try:
        yield
    except ParameterError as error:
        raise ParameterError(f"{what}, {error}") from error
