"""Definitions of tools and choices among them, and calls of tools, without a model."""

from __future__ import annotations

import json
import math
import pickle
from typing import Any

import pytest

from decodekit.errors import ParameterError
from decodekit.text.tool_call import ToolCall
from decodekit.text.tools import Tools

SCHEMA: Any = {"type": "object", "properties": {"city": {"type": "string"}}}
NESTED: Any = {"type": "function", "function": {"name": "weather", "description": None, "parameters": SCHEMA}}
FLAT: Any = {"name": "weather", "parameters": SCHEMA}

WRONG: dict[str, tuple[Any, Any, str]] = {
    "one definition": (NESTED, None, "tools is a list of definitions, not"),
    "a text": ("weather", None, "tools is a list of definitions, not 'weather'"),
    "a set": ({"weather"}, None, "tools is a list of definitions"),
    "a function of Python": ([print], None, r"tools\[0\] is <.*a tool is {'type': 'function'"),
    "a name alone": (["weather"], None, r"tools\[0\] is 'weather'; a tool is"),
    "another kind": ([{"type": "web_search"}], None, r"tools\[0\]: its type is 'web_search'"),
    "no name": ([{"type": "function", "function": {"parameters": SCHEMA}}], None, r"tools\[0\].*this one has no name"),
    "an empty name": ([{"name": ""}], None, "this one has no name"),
    "a name twice": ([NESTED, FLAT], None, r"tools\[1\]: there is another tool named 'weather'"),
    "a word of Anthropic": ([{"name": "a", "input_schema": SCHEMA}], None, "in OpenAI's format it is 'parameters'"),
    "a word that is misspelt": ([{"name": "a", "paramters": SCHEMA}], None, "did you mean 'parameters'"),
    "a schema that is a list": ([{"name": "a", "parameters": []}], None, r"\(a\): parameters is a JSON Schema"),
    "a description that is none": ([{"name": "a", "description": 3}], None, "description is a text, not 3"),
    "a strict that is a text": ([{"name": "a", "strict": "yes"}], None, "strict is true or false, not 'yes'"),
    "what is no JSON": ([{"name": "a", "parameters": {"x": {1, 2}}}], None, "it is not plain JSON"),
    "a number that is none": ([{"name": "a", "parameters": {"minimum": math.nan}}], None, "it is not plain JSON"),
    "a choice alone": (None, "required", "tool_choice is 'required', and no tool is given"),
    "a choice of nothing": ([], NESTED, "and no tool is given"),
    "a name as a choice": ([FLAT], "weather", "write {'type': 'function', 'function': {'name': 'weather'}}"),
    "a word of Anthropic as a choice": ([FLAT], "any", "'auto', 'none', 'required' or {'type': 'function'"),
    "a tool that there is not": (
        [FLAT],
        {"type": "function", "function": {"name": "wether"}},
        "did you mean 'weather'",
    ),
    "a choice without a name": ([FLAT], {"type": "function"}, "tool_choice is 'auto'"),
    "a choice that is a number": ([FLAT], 1, "tool_choice is .* not 1"),
    "many": ([{"name": f"t{i}"} for i in range(1001)], None, "tools has 1001 definitions"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_tool_is_refused_by_its_place(name: str) -> None:
    tools, choice, why = WRONG[name]
    with pytest.raises(ParameterError, match=why):
        Tools.of(tools, choice)


def test_both_forms_of_openai_are_one() -> None:
    nested, flat = Tools.of([NESTED], {"type": "function", "name": "weather"}), Tools.of((FLAT,))
    assert nested is not None and flat is not None and nested.functions == flat.functions == (FLAT,)
    assert nested.definitions() == [{"type": "function", "function": FLAT}]
    assert nested.chosen() == {"type": "function", "function": {"name": "weather"}} and nested.must_call
    assert flat.chosen() is None and not flat.must_call
    assert nested.functions[0]["parameters"] is not SCHEMA  # a later change of the caller's changes nothing
    assert Tools.of([]) is None and Tools.of(None, "auto") is None and Tools.of([], "none") is None


CALLS: list[tuple[str, Any, bool, str]] = [
    ('{"city": "Rome"}', {"city": "Rome"}, True, ""),
    ("", {}, True, ""),
    (" \n", {}, True, ""),
    ("{}", {}, True, ""),
    ('{"city": "Rome"', None, False, "cut"),
    ('{"city": tru', None, True, "no JSON object"),
    ("null", None, True, "it is None"),
    ('"Rome"', None, True, "it is 'Rome'"),
    ("[1]", None, True, r"it is [1]"),
    ('{"n": NaN}', None, True, "NaN is no number in JSON"),
    ('{"n": 1}{', None, True, "Extra data"),
    ('{"n": ' + "1" * 5000 + "}", None, True, "no JSON object"),
    ("[" * 100_000, None, True, "no JSON object"),
]


@pytest.mark.parametrize(("arguments", "parsed", "complete", "fault"), CALLS, ids=range(len(CALLS)))
def test_arguments_are_parsed_if_they_are_an_object(arguments: str, parsed: Any, complete: bool, fault: str) -> None:
    call = ToolCall.checked("c1", "weather", arguments, complete=True, names=["weather"])
    assert (call.arguments, call.parsed, call.complete) == (arguments, parsed, complete)
    assert fault in call.fault and bool(call.fault) == bool(fault)
    assert json.loads(json.dumps(call.to_dict()))["parsed"] == parsed
    assert pickle.loads(pickle.dumps(call)) == call
    part = call.as_message_part()["function"]["arguments"]
    assert part == (arguments if arguments.strip() else "{}")


def test_the_answer_to_a_call_is_a_text() -> None:
    call = ToolCall("c1", "weather", "{}")
    assert call.answer("18") == {"role": "tool", "tool_call_id": "c1", "content": "18"}
    with pytest.raises(ParameterError, match=r"the answer to a call is a text, such as json\.dumps"):
        call.answer({"degrees": 18})  # type: ignore[arg-type]


def test_a_call_is_shown_on_one_line_without_what_a_terminal_would_obey() -> None:
    call = ToolCall("c1", "w\x1b[2J", '{"a":\n"\u202e' + "x" * 5000 + '"}', fault="why\x07")
    assert call.line.isprintable() and len(call.line) < 2200 and "(5010 characters)" in call.line
