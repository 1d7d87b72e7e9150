"""Calls of tools that come as a whole, beside their pieces or in their place; and answers that have nothing."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

pytest.importorskip("httpx")

from decodekit.errors import ProviderError
from tests.adapters.remote.scripted import anthropic, chunk, generated, playing, responses
from tests.adapters.remote.tool_answers import BONN, DIALECTS, ROME, WEATHER, streamed_calls

IN_ROME = '{"city": "Rome"}'


def whole_end(dialect: str, arguments: str = IN_ROME, id_: str = "c1", name: str = "weather") -> list[Any]:
    """The end of a stream, with a call in one piece."""
    function = {"name": name, "arguments": arguments}
    if dialect == "openai_chat":
        message = {"role": "assistant", "content": None, "tool_calls": [{"id": id_, "function": function}]}
        return [{"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}]
    if dialect == "openai_responses":
        output = [{"type": "function_call", "call_id": id_, **function}]
        return [{"type": "response.completed", "response": {"status": "completed", "output": output}}]
    content = [{"type": "tool_use", "id": id_, "name": name, "input": json.loads(arguments)}]
    end = {"type": "message_delta", "delta": {"stop_reason": "tool_use"}}
    return [end, {"type": "message_stop", "message": {"content": content}}]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_call_that_comes_only_as_a_whole_is_there_and_one_that_comes_twice_is_one(dialect: str) -> None:
    for before in ((), streamed_calls(dialect, ROME, broken=True)[2]):
        with playing([*before, *whole_end(dialect)]) as server:
            result = generated(server, dialect, tools=[WEATHER], tool_choice="required")
        (call,) = result.tool_calls
        assert (call.id, call.name, call.arguments, call.complete) == ("c1", "weather", IN_ROME, True)
        assert result.finish_reason == "tool_calls"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_whole_call_that_is_not_its_pieces_is_an_error_with_what_came(dialect: str) -> None:
    began = streamed_calls(dialect, ROME, text="Well", broken=True)[2]
    for other, why in (
        ({"arguments": '{"city": "Bonn"}'}, r"a call of 'weather' came as '.*Rome.*' in pieces and as '.*Bonn.*' in"),
        ({"name": "now"}, "a call of 'weather' came as 'weather' in pieces and as 'now' in one"),
    ):
        with (
            playing([*began, *whole_end(dialect, **other)]) as server,
            pytest.raises(ProviderError, match=why) as caught,
        ):
            generated(server, dialect, tools=[WEATHER])
        assert caught.value.partial is not None and caught.value.partial.text == "Well"
        assert [call.arguments for call in caught.value.partial.tool_calls] == [IN_ROME]


def test_json_that_is_written_anew_is_the_same_and_what_is_missing_is_added() -> None:
    for pieces, found in ((ROME[2], IN_ROME), (ROME[2][:2], '{"city": "Rome"}')):
        began = streamed_calls("openai_chat", ("c1", "weather", pieces), broken=True)[2]
        whole = IN_ROME if pieces != ROME[2] else '{"city":"Rome"}'
        with playing([*began, *whole_end("openai_chat", whole)]) as server:
            (call,) = generated(server, tools=[WEATHER]).tool_calls
        assert call.arguments == found and call.parsed == {"city": "Rome"}


def test_items_without_an_index_are_matched_by_their_ids() -> None:
    """llama-server writes no output_index, and gives each item once more at the end."""

    def bare(events: list[bytes]) -> list[Any]:
        read = [json.loads(each.split(b"data: ")[1]) for each in events if each]
        return [{key: value for key, value in each.items() if key != "output_index"} for each in read]

    events = bare(streamed_calls("openai_responses", ROME, BONN, broken=True)[2])
    again = [event for event in events if event["type"].endswith(".done")]
    began = [event for event in events if event not in again]
    with playing([*began, *again, responses()[-1]]) as server:
        result = generated(server, "openai_responses", tools=[WEATHER])
    assert [(call.id, call.parsed) for call in result.tool_calls] == [
        ("c1", {"city": "Rome"}),
        ("c2", {"city": "Bonn"}),
    ]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_character_that_is_split_between_two_pieces_is_whole(dialect: str) -> None:
    with playing(lambda *_: streamed_calls(dialect, ("c1", "weather", ('{"city": "\ud83d', '\ude00"}')))) as server:
        (call,) = generated(server, dialect, tools=[WEATHER]).tool_calls
    assert call.parsed == {"city": "\U0001f600"}
    with playing(lambda *_: streamed_calls(dialect, ("c1", "weather", ('{"city": "\ud83d"}',)))) as server:
        (call,) = generated(server, dialect, tools=[WEATHER]).tool_calls
    assert call.parsed == {"city": "\ufffd"}


EMPTY: dict[str, list[Any]] = {
    "openai_chat": [chunk(None, None, "stop"), {"choices": [], "usage": {"completion_tokens": 12}}],
    "openai_completions": [chunk(None, None, "stop"), {"choices": [], "usage": {"completion_tokens": 12}}],
    "openai_responses": responses(
        end={"type": "response.completed", "response": {"status": "completed", "usage": {"output_tokens": 12}}}
    ),
    "anthropic_messages": anthropic(),
}


@pytest.mark.parametrize("dialect", EMPTY)
def test_tokens_that_are_counted_where_no_text_came_are_a_warning(dialect: str, caplog: Any) -> None:
    with playing(EMPTY[dialect]) as server, caplog.at_level(logging.WARNING):
        result = generated(server, dialect, prompt="hi")
    assert (result.text, result.usage.completion_tokens) == ("", 12)
    (warned,) = [record for record in caplog.records if "no text" in record.getMessage()]
    assert "completion_tokens=12" in warned.getMessage()
