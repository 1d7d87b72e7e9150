"""Calls of tools in the shapes of servers that are not strict, and the messages that go back to them."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("httpx")

from decodekit import Session
from tests.adapters.remote.scripted import TALK, chunk, generated, playing, responses
from tests.adapters.remote.tool_answers import DIALECTS, NOW, ROME, WEATHER, said, streamed_calls

IN_ROME = {"city": "Rome"}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_calls_without_an_id_of_their_own_get_one(dialect: str) -> None:
    """Their answers could not be told apart, and servers refuse an empty one."""
    with playing(lambda *_: streamed_calls(dialect, ("", *ROME[1:]), ("", "now", ("{}",)))) as server:
        result = generated(server, dialect, tools=[WEATHER, NOW])
    assert [(call.id, call.name) for call in result.tool_calls] == [("call_0", "weather"), ("call_1", "now")]
    with playing(lambda *_: streamed_calls(dialect, ("call_1", *ROME[1:]), ("call_1", "now", ("{}",)))) as server:
        ids = [call.id for call in generated(server, dialect, tools=[WEATHER, NOW]).tool_calls]
    assert len(set(ids)) == 2 and ids[0] == "call_1"


def called(*calls: Any, form: str = "delta") -> Any:
    return {"choices": [{"index": 0, form: {"content": None, "tool_calls": list(calls)}, "finish_reason": None}]}


def call(name: str, arguments: Any, **more: Any) -> Any:
    return {"type": "function", "function": {"name": name, "arguments": arguments}, **more}


END = chunk(None, None, "tool_calls")
SHAPES: dict[str, tuple[list[Any], list[tuple[str, Any]]]] = {
    "an object": ([called(call("weather", IN_ROME, index=0, id="a")), END], [("weather", IN_ROME)]),
    "an object in a message": ([called(call("weather", IN_ROME), form="message"), END], [("weather", IN_ROME)]),
    "a number as the id": ([called(call("weather", '{"city": "Rome"}', index=0, id=7)), END], [("weather", IN_ROME)]),
    "one index for all of a message": (
        [called(*(call("weather", "{}", index=0, id="") for _ in range(2)), form="message"), END],
        [("weather", {}), ("weather", {})],
    ),
    "no ids, and another name": (
        [called(call("weather", '{"city": "Rome"}', index=0)), called(call("now", "{}", index=0)), END],
        [("weather", IN_ROME), ("now", {})],
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_other_shapes_are_read(name: str) -> None:
    events, wanted = SHAPES[name]
    with playing(events) as server:
        found = generated(server, tools=[WEATHER, NOW]).tool_calls
    assert [(call.name, call.parsed) for call in found] == wanted
    assert all(call.complete and not call.fault for call in found)


def test_llama_servers_responses_that_reach_the_limit_are_cut() -> None:
    """It calls every answer completed."""
    ended = {"status": "completed", "usage": {"output_tokens": 16}}
    events = responses(("Cap", []), end={"type": "response.completed", "response": ended})
    for owner, reason in (("llamacpp", "length"), ("openai", "stop")):
        with playing(events, owner=owner) as server:
            result = generated(server, "openai_responses", max_tokens=4, adapter={"probe": True, "engine": "openai"})
        assert result.finish_reason == reason


def test_a_message_of_calls_alone_has_no_text_but_where_the_server_needs_one() -> None:
    whole = {"choices": [{"index": 0, "message": {"content": "a"}, "finish_reason": "length"}]}

    def answer(number: int, body: Any) -> Any:
        told = 200, "application/json", [json.dumps(whole).encode()]
        return streamed_calls("openai_chat", ROME) if body["stream"] else told

    for owner, content in (("acme", None), ("me", "")):
        with (
            playing(answer, owner=owner) as server,
            Session(server.adapter(probe=True), "provider", seed=1) as session,
        ):
            result = session.generate(TALK, max_tokens=9, tools=[WEATHER])
            assert result.message["content"] is None
            talk = [*TALK, result.message, result.tool_calls[0].answer("18")]
            session.generate(talk, max_tokens=9, tools=[WEATHER])
            assert server.asked[-1][1]["messages"][1]["content"] == content


def test_white_space_beside_calls_does_not_go_back_to_anthropic() -> None:
    with playing(lambda *_: said("anthropic_messages", "x")) as server:
        asks = {"role": "assistant", "content": "\n\n", "tool_calls": [call("now", "{}", id="a")]}
        generated(server, "anthropic_messages", [*TALK, asks, {"role": "tool", "tool_call_id": "a", "content": "9"}])
        (_, asked, _) = server.asked[0][1]["messages"]
    assert json.dumps(asked["content"]) == '[{"type": "tool_use", "id": "a", "name": "now", "input": {}}]'
