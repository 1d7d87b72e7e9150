"""Constraints after a block of thinking, and calls of tools in free text."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llguidance")

from decodekit import Context, processor
from decodekit.draw.context import TokenIds
from tests.plugins.grammar.models import Marked, ids_of


def reached(part: Any, tokens: Marked, *parts: str, prompt: tuple[str, ...] = ("x",)) -> tuple[int, bool]:
    """How many tokens of a text the masks allow, and whether it may end after them."""
    ctx = Context(TokenIds(ids_of(tokens, *prompt)), TokenIds(), tokens)
    place = part.initial(ctx)
    ids = ids_of(tokens, *parts)
    for at, token in enumerate(ids):
        if not place.mask[token]:
            return at, part.complete(place)
        place = place.after(token)
    return len(ids), bool(part.complete(place) and place.mask[256])


MARKS = [(), ("<think>", "</think>")]


@pytest.mark.parametrize("markup", MARKS, ids=["texts", "control tokens"])
def test_thinking_comes_first_or_not_at_all(markup: tuple[str, ...]) -> None:
    tokens = Marked(*markup)
    part = processor("choice", choice=["yes", "no"], after="</think>", forcing="free")
    for text in (("<think>", "Is it?", "</think>", "\n\nyes"), ("<think>", "</think>", "no"), ("yes",)):
        assert reached(part, tokens, *text) == (len(ids_of(tokens, *text)), True), text
    assert reached(part, tokens, "maybe") == (0, False)
    begun = ("<think>", "x", "</think>")
    assert reached(part, tokens, *begun, "maybe") == (len(ids_of(tokens, *begun)), False)
    assert not reached(part, tokens, "<think>", "yes")[1]


def test_a_control_token_is_allowed_where_its_mark_is_and_no_other() -> None:
    tokens = Marked("<think>", "</think>", "<|other|>")
    part = processor("choice", choice=["yes"], after="</think>")
    place = part.initial(Context(TokenIds(b"x"), TokenIds(), tokens))
    assert {i for i in np.flatnonzero(place.mask) if i >= 256} == {tokens.control_tokens["<think>"]}
    place = place.after(tokens.control_tokens["<think>"])
    assert {i for i in np.flatnonzero(place.mask) if i >= 256} == {tokens.control_tokens["</think>"]}


def test_a_user_who_writes_the_mark_opens_no_block() -> None:
    part = processor("choice", choice=["yes", "no"], after="</think>", forcing="free")
    assert reached(part, Marked(), "maybe", prompt=("Say <think> twice. ",)) == (0, False)
    tokens = Marked("<think>", "</think>")
    assert reached(part, tokens, "Hm", "</think>", "yes", prompt=("<think>", " a"))[1]


@pytest.mark.parametrize("markup", MARKS, ids=["texts", "control tokens"])
def test_a_prompt_that_opened_the_block_is_seen(markup: tuple[str, ...]) -> None:
    tokens = Marked(*markup)
    part = processor("choice", choice=["yes", "no"], after="</think>", forcing="free")
    text = ("Hm, maybe.", "</think>", "yes")
    whole = len(ids_of(tokens, *text))
    assert reached(part, tokens, *text, prompt=("x", "<think>", "\n")) == (whole, True)
    assert reached(part, tokens, *text, prompt=("x", "<think>", "a", "</think>")) == (0, False)


def test_the_value_is_that_of_the_answer() -> None:
    part = processor("json_schema", json_schema={"type": "integer"}, after="</think>")
    assert part.parse("<think>4?</think>\n\n5") == part.parse("4?</think>5") == part.parse("5") == 5


def test_an_answer_that_holds_the_mark_is_not_cut_there() -> None:
    part = processor("choice", choice=["a</think>b", "c"], after="</think>")
    assert part.parse("a</think>b") == part.parse("<think>x</think>a</think>b") == "a</think>b"
    assert part.parse("Hm, c?</think>c") == "c"
    text = processor("json_schema", json_schema={"type": "string"}, after="</think>")
    assert text.parse('"a</think>"') == "a</think>"


@pytest.mark.parametrize("markup", MARKS, ids=["texts", "control tokens"])
def test_numbers_have_a_bound_in_the_answer_and_none_in_the_thinking(markup: tuple[str, ...]) -> None:
    tokens = Marked(*markup)
    part = processor("json_schema", json_schema={"type": "number"}, after="</think>", forcing="free")
    thinking = ("<think>", f'He said "{"7" * 30} and 1e999', "</think>")
    begun = len(ids_of(tokens, *thinking))
    assert reached(part, tokens, *thinking, "1e99") == (begun + 4, True)
    assert reached(part, tokens, *thinking, "1e999")[0] == begun + 4
    assert reached(part, tokens, *thinking, "7" * 30)[0] == begun + 24
    assert reached(part, tokens, "7" * 30)[0] == 24
    assert (
        reached(part, tokens, *thinking[1:], "7" * 30, prompt=("x", "<think>"))[0]
        == begun - len(ids_of(tokens, "<think>")) + 24
    )


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {
                "type": "object",
                "properties": {"city": {"enum": ["Bern", "Oslo"]}},
                "required": ["city"],
                "additionalProperties": False,
            },
        },
    },
    {"name": "now"},
]
CALL = '{"name": "weather", "arguments": {"city": "Oslo"}}'


@pytest.mark.parametrize("markup", [(), ("<tool_call>", "</tool_call>")], ids=["texts", "control tokens"])
@pytest.mark.parametrize("required", [False, True])
def test_tools(markup: tuple[str, ...], required: bool) -> None:
    tokens = Marked(*markup)
    part = processor("tools", tools=TOOLS, required=required, forcing="free")
    called = ("Let me see. ", "<tool_call>", f"\n{CALL}\n", "</tool_call>", " Done.")
    assert reached(part, tokens, *called) == (len(ids_of(tokens, *called)), True)
    twice = (*called, "<tool_call>", '{"name": "now", "arguments": {}}', "</tool_call>")
    assert reached(part, tokens, *twice) == (len(ids_of(tokens, *twice)), True)
    assert reached(part, tokens, "No tool, a < b.") == (15, not required)
    wrong = ("<tool_call>", '{"name": "weather", "arguments": {"city": "P')
    assert reached(part, tokens, *wrong) == (len(ids_of(tokens, *wrong)) - 1, False)
    assert not reached(part, tokens, "<tool_call>")[1]


def test_the_calls_in_a_text() -> None:
    part = processor("tools", tools=TOOLS)
    text = f"Let me see. <tool_call>\n{CALL}\n</tool_call> Done. <tool_call>{CALL}</tool_call>"
    assert part.parse(text) == [json.loads(CALL)] * 2
    assert part.parse("No tool.") == []


def test_marks_in_an_argument_are_text() -> None:
    schema = {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"]}
    part = processor("tools", tools=[{"name": "f", "parameters": schema}])
    call = json.dumps({"name": "f", "arguments": {"x": "</tool_call> and <tool_call>"}})
    assert part.parse(f"a <tool_call>{call}</tool_call> b") == [json.loads(call)]


def test_numbers_have_a_bound_in_calls_alone() -> None:
    tokens = Marked()
    schema = {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}
    part = processor("tools", tools=[{"name": "f", "parameters": schema}], forcing="free")
    free, head = "9" * 30 + ' "', '<tool_call>{"name": "f", "arguments": {"x": '
    assert reached(part, tokens, free)[0] == len(free)
    assert reached(part, tokens, free, head, "9" * 30)[0] == len(free) + len(head) + 24
    whole = f"{free}{head}1}}}}</tool_call>{free}"
    assert reached(part, tokens, whole) == (len(whole), True)


def test_parameters_of_tools_refer_to_themselves() -> None:
    item = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    schema = {
        "type": "object",
        "properties": {"items": {"type": "array", "items": {"$ref": "#/$defs/Item"}}, "enum": {"$ref": "#/$defs/Item"}},
        "required": ["items"],
        "$defs": {"Item": item},
    }
    tokens = Marked()
    for tools in ([{"name": "f", "parameters": schema}], [{"name": "now"}, {"name": "f", "parameters": schema}]):
        part = processor("tools", tools=tools, forcing="free")
        begun = '<tool_call>{"name": "f", "arguments": {"items": [{"n": 1}'
        assert reached(part, tokens, begun, "]}}</tool_call>") == (len(begun) + 15, True)
        assert reached(part, tokens, begun, ', {"m')[0] == len(begun) + 4


def test_the_mask_outside_of_a_call_is_every_text() -> None:
    tokens = Marked()
    place = processor("tools", tools=TOOLS).initial(Context(TokenIds([1]), TokenIds(), tokens))
    assert np.count_nonzero(place.mask) > 120
