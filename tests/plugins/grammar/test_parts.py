"""The value of a text is read from its tokens and its prompt: no letters pass for a mark, no thinking for an answer."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llguidance")

from decodekit import ParameterError, Session, processor
from decodekit.session.schema import Schema
from decodekit.testing import TableAdapter
from tests.plugins.grammar.models import Marked, ids_of

TEXTS = Marked()
CONTROL = Marked("<think>", "</think>", "<tool_call>", "</tool_call>")
BOTH = pytest.mark.parametrize("tokens", [TEXTS, CONTROL], ids=["texts", "control tokens"])
TOOLS = [
    {
        "name": "f",
        "parameters": {
            "type": "object",
            "properties": {"x": {"type": "integer"}},
            "required": ["x"],
            "additionalProperties": False,
        },
    }
]
CALL = json.dumps({"name": "f", "arguments": {"x": 1}})
CALLED = {"name": "f", "arguments": {"x": 1}}
NUMBER = processor("json_schema", json_schema={"type": "object", "required": ["a"]}, after="</think>")
LETTERS = processor("regex", regex="[a-z]+", after="</think>")


def written(part: Any, tokens: Marked, *wanted: str, prompt: tuple[str, ...] = ("p",)) -> Any:
    """The result of a model that wants to write this, and then the end."""
    ids = ids_of(tokens, *wanted)
    begun = ids_of(tokens, *prompt)

    def row(seen: tuple[int, ...]) -> Any:
        scores = np.zeros(tokens.vocab_size)
        at = len(seen) - len(begun)
        scores[ids[at] if list(seen[len(begun) :]) == ids[:at] and at < len(ids) else 256] = 60.0
        return scores

    adapter = TableAdapter(row, tokens.vocab_size, tokenizer=tokens)
    return Session(adapter, seed=1, max_tokens=len(ids) + 1).generate(begun, schema=part)


def value(part: Any, tokens: Marked, *wanted: str, prompt: tuple[str, ...] = ("p",)) -> Any:
    result = written(part, tokens, *wanted, prompt=prompt)
    assert list(result.token_ids[:-1]) == ids_of(tokens, *wanted) and result.complete
    return result.parsed


@BOTH
def test_the_value_is_of_what_follows_the_thinking(tokens: Marked) -> None:
    for prompt, begin in ((("p",), ("<think>",)), (("p", "<think>"), ()), (("p", "<think>", "\n"), ())):
        assert value(NUMBER, tokens, *begin, "4?", "</think>", '\n{"a": 5}', prompt=prompt) == {"a": 5}
        assert value(LETTERS, tokens, *begin, "four", "</think>", "\n\nfive", prompt=prompt) == "five"
    assert value(LETTERS, tokens, "five") == value(LETTERS, tokens, "\nfive") == "five"


@BOTH
def test_thinking_that_would_pass_for_an_answer_is_none_where_the_prompt_began_it(tokens: Marked) -> None:
    prompt = ("p", "<think>")
    any_text = processor("regex", regex="(.|\\n)*", after="</think>")
    assert value(any_text, tokens, "thinking", "</think>", "yes", prompt=prompt) == "yes"
    assert value(any_text, tokens, "<b>yes</b>") == "<b>yes</b>"
    tools = processor("tools", tools=TOOLS, after="</think>")
    weighed = f"maybe {'' if tokens is CONTROL else f'<tool_call>{CALL}</tool_call>'} or"
    assert value(tools, tokens, weighed, "</think>", "done", prompt=prompt) == []
    assert value(tools, tokens, weighed, "</think>", "<tool_call>", CALL, "</tool_call>", prompt=prompt) == [CALLED]


def test_letters_are_no_control_tokens() -> None:
    said = "write <tool_call>" + json.dumps({"name": "f", "arguments": {"x": "evil"}}) + "</tool_call> like this"
    tools = processor("tools", tools=TOOLS)
    assert value(tools, CONTROL, said) == value(tools, CONTROL, "write <tool_call> like this") == []
    assert value(tools, CONTROL, said, "<tool_call>", CALL, "</tool_call>") == [CALLED]
    thinking = ("<think>", "the tag </think> ends it", "</think>")
    assert value(NUMBER, CONTROL, *thinking, '{"a": 1}') == {"a": 1}
    assert value(LETTERS, CONTROL, *thinking, "yes") == "yes"


def test_a_result_that_was_pickled_has_the_same_value() -> None:
    result = written(NUMBER, CONTROL, "<think>", "4?", "</think>", '{"a": 5}')
    assert pickle.loads(pickle.dumps(result)).parsed == result.parsed == {"a": 5}


@BOTH
def test_free_text_is_free_of_the_bound_on_numbers(tokens: Marked) -> None:
    digits = "7" * 30
    tools = processor("tools", tools=TOOLS, after="</think>", forcing="free")
    trigger = "<tool_call>" if tokens is TEXTS else ""
    thinking = f'use {trigger} {digits} " x'
    assert value(tools, tokens, "<think>", thinking, "</think>", "no") == []
    assert value(tools, tokens, thinking, "</think>", "no", prompt=("p", "<think>")) == []
    assert value(processor("tools", tools=TOOLS), CONTROL, f"plain <tool_call> {digits}") == []


def test_thinking_that_the_text_opened_holds_no_calls_and_is_no_answer_before_it_ends() -> None:
    tools = processor("tools", tools=TOOLS, after="</think>")
    assert value(tools, TEXTS, "<think>", "a <tool_call> b", "</think>", "no") == []
    any_text = processor("regex", regex="(.|\\n)*", after="</think>")
    for part in (tools, any_text):
        assert not written(part, TEXTS, "<think>", "and so on").complete


def test_an_end_mark_may_be_the_trigger_too() -> None:
    tools = processor("tools", tools=TOOLS, trigger="```", end="```", forcing="free")
    assert value(tools, TEXTS, f"```{CALL}``` {'7' * 30} ```\n{CALL}\n```") == [CALLED, CALLED]


def test_an_opening_mark_that_looks_like_json_leaves_the_bound_on_numbers() -> None:
    part = processor("json_schema", json_schema={"type": "array"}, opened_by="[THINK]", after="[/THINK]")
    assert value(part, TEXTS, "[THINK]", "7" * 30, "[/THINK]", "[7]") == [7]
    assert value(part, TEXTS, "[7]") == [7]
    assert not written(part, TEXTS, f"[{'7' * 30}]").text.startswith(f"[{'7' * 25}")


def test_an_answer_that_begins_with_blanks_of_its_own_keeps_them() -> None:
    part = processor("choice", choice=[" yes", "no"], after="</think>", forcing="free")
    assert value(part, TEXTS, "<think>", "x", "</think>", " yes") == " yes"
    assert value(part, TEXTS, "<think>", "x", "</think>", "\nno") == "no"
    assert value(part, TEXTS, " yes") == " yes"


@pytest.mark.parametrize("text", ["7" * 4400, "[" * 100_000 + "]" * 100_000], ids=["digits", "levels"])
def test_a_value_that_python_cannot_hold_is_a_typed_error(text: str) -> None:
    with pytest.raises(ParameterError, match="parsed: the text has no value in Python: "):
        Schema.of(processor("json", json=False, number_length=5000)).value(text, (text,))
