"""Definitions of tools: their parameters are schemas of their own, and every word in them means something."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

pytest.importorskip("llguidance")

from decodekit import ParameterError, processor
from decodekit_grammar.matcher import matches

WHOLE = {"type": "integer"}
SEVEN = "http://json-schema.org/draft-07/schema#"


def tool(parameters: Any, name: str = "f") -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": "d", "parameters": parameters}}


def allowed(tools: list[dict[str, Any]], arguments: Any, name: str = "f") -> bool:
    call = json.dumps({"name": name, "arguments": arguments})
    return matches(processor("tools", tools=tools, required=True).grammar(), f"<tool_call>{call}</tool_call>")


@pytest.mark.parametrize(
    ("schema", "fine", "wrong"),
    [
        (
            {"properties": {"a": {"$ref": "#foo"}}, "$defs": {"X": {"$anchor": "foo", **WHOLE}}},
            {"a": 1},
            {"a": "x"},
        ),
        (
            {"$id": "https://x.org/s", "properties": {"a": {"$ref": "#/$defs/X"}}, "$defs": {"X": WHOLE}},
            {"a": 1},
            {"a": "x"},
        ),
        (
            {"$id": "https://x.org/s", "properties": {"a": {"$ref": "s#/$defs/X"}}, "$defs": {"X": WHOLE}},
            {"a": 1},
            {"a": "x"},
        ),
        (
            {"properties": {"a": {"$ref": "https://x.org/i"}}, "$defs": {"X": {"$id": "https://x.org/i", **WHOLE}}},
            {"a": 1},
            {"a": "x"},
        ),
        ({"properties": {"a": {"$ref": "#"}}, "additionalProperties": False}, {"a": {"a": {}}}, {"a": {"b": 1}}),
        (
            {"$schema": SEVEN, "$ref": "#/definitions/N", "definitions": {"N": {"properties": {"a": WHOLE}}}},
            {"a": 1},
            {"a": "x"},
        ),
        (
            {
                "properties": {"a": {"oneOf": [{"$ref": "#/$defs/X"}, {"$ref": "#/$defs/Y"}]}},
                "$defs": {"X": {"const": 1}, "Y": {"const": 2}},
            },
            {"a": 2},
            {"a": 3},
        ),
    ],
)
def test_references_are_those_of_the_parameters(schema: dict[str, Any], fine: Any, wrong: Any) -> None:
    schema = schema if "$ref" in schema else {"type": "object", **schema}
    for tools in ([tool(schema)], [tool({"type": "object"}, "g"), tool(schema)]):
        assert allowed(tools, fine) and not allowed(tools, wrong)


def test_two_tools_may_have_anchors_and_definitions_of_the_same_name() -> None:
    def parameters(of: dict[str, Any]) -> dict[str, Any]:
        return {"type": "object", "properties": {"a": {"$ref": "#x"}}, "$defs": {"X": {"$anchor": "x", **of}}}

    tools = [tool(parameters(WHOLE)), tool(parameters({"type": "string"}), "g")]
    assert allowed(tools, {"a": 1}) and allowed(tools, {"a": "x"}, "g")
    assert not allowed(tools, {"a": "x"}) and not allowed(tools, {"a": 1}, "g")


@pytest.mark.parametrize(
    ("tools", "words"),
    [
        ([{"name": "a", "parametrs": {}}], "tools[0] (a): 'parametrs' has no meaning here; did you mean 'parameters'?"),
        (
            [{"name": "a", "input_schema": {}}],
            "'input_schema' is Anthropic's word; in OpenAI's format it is 'parameters'",
        ),
        ([{"name": "a", "inputSchema": {}}], "'inputSchema' is MCP's word"),
        (
            [tool({}), {"type": "function", "function": {"name": "a", "schema": {}}}],
            "tools[1] (a): 'schema' has no meaning",
        ),
        ([{"type": "function", "function": {"name": "a"}, "parameters": {}}], "tools[0]: 'parameters' has no meaning"),
        ([{"type": "web_search"}], "tools[0]: its type is 'web_search'"),
        (
            [tool({"$id": "https://x.org/s"}), tool({"$id": "https://x.org/s", "type": "object"}, "g")],
            "tools[1]: another tool has a schema with the $id 'https://x.org/s'",
        ),
        ([tool({}), tool({"properties": {"x": {"type": "strin"}}}, "g")], "tools[1], parameters, at /properties/x: "),
    ],
)
def test_a_definition_that_says_something_else_is_refused(tools: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(ParameterError, match=re.escape(words)):
        processor("tools", tools=tools)


def test_the_forms_of_a_definition() -> None:
    parameters = {"type": "object", "properties": {"a": WHOLE}, "required": ["a"]}
    flat = {"name": "f", "description": "d", "parameters": parameters, "strict": True}
    for given in (tool(parameters), flat, {"type": "function", **flat}):
        assert allowed([given], {"a": 1}) and not allowed([given], {"a": "x"})
