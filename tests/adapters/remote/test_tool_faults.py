"""Calls of tools that were cut, that cannot be run, or that servers write otherwise."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

import pytest

pytest.importorskip("httpx")

from decodekit import Session
from decodekit.errors import ParameterError, ProviderError
from tests.adapters.remote.scripted import TALK, chunk, generated, playing
from tests.adapters.remote.servers import TalkingTokenizer
from tests.adapters.remote.tool_answers import BONN, DIALECTS, NOW, ROME, WEATHER, said, streamed_calls

# -- what was cut -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_call_that_max_tokens_cuts_is_never_called_complete(dialect: str) -> None:
    """The APIs close a call that they cut as they close a whole one."""
    with playing(lambda *_: streamed_calls(dialect, BONN, (*ROME[:2], ('{"city": "Ro',)), cut=True)) as server:
        result = generated(server, dialect, tools=[WEATHER])
    whole, cut = result.tool_calls
    assert result.finish_reason == "length" and whole.complete and not whole.fault
    assert (cut.complete, cut.arguments, cut.parsed) == (False, '{"city": "Ro', None) and "cut" in cut.fault
    with playing(lambda *_: streamed_calls(dialect, ROME, cut=True)) as server:
        (odd,) = generated(server, dialect, tools=[WEATHER]).tool_calls  # whole JSON, and it may go on
    assert not odd.complete and odd.parsed is None


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_stream_that_breaks_off_keeps_what_came(dialect: str) -> None:
    with (
        playing(lambda *_: streamed_calls(dialect, BONN, ROME, text="Well", broken=True)) as server,
        pytest.raises(ProviderError) as caught,
    ):
        generated(server, dialect, tools=[WEATHER])
    result = caught.value.partial
    assert result is not None and result.text == "Well"
    assert [(call.id, call.complete) for call in result.tool_calls] == [("c2", True), ("c1", False)]
    assert result.trace.footer is not None and result.trace.footer.ends[0].tool_calls == result.tool_calls


@pytest.mark.parametrize(
    "arguments", ["{", '{"city', '{"city": ', '{"city": "Ro', '{"city": "Rome"', '{"city": "Rome", ']
)
def test_a_cut_that_the_server_calls_an_end_is_seen_in_the_arguments(arguments: str) -> None:
    """llama-server's responses are 'completed' where max_output_tokens cuts a call."""
    with playing(lambda *_: streamed_calls("openai_responses", ("c1", "weather", (arguments,)))) as server:
        (call,) = generated(server, "openai_responses", tools=[WEATHER]).tool_calls
    assert not call.complete and "cut" in call.fault


def test_a_deadline_keeps_the_call_that_has_begun() -> None:
    def answer(number: int, body: Any) -> Any:
        status, kind, pieces = streamed_calls("openai_chat", ROME, text="Well")
        return status, kind, [*pieces[:4], lambda gone: gone.wait(20) and b""]

    with playing(answer) as server:
        result = generated(server, tools=[WEATHER], deadline=1.5)
    (call,) = result.tool_calls
    assert result.finish_reason == "deadline" and not call.complete
    assert (result.text, call.arguments) == ("Well", '{"city": "Ro')


# -- what servers do otherwise ------------------------------------------------------------------------------------


def test_calls_of_one_place_with_ids_of_their_own_are_several() -> None:
    """Some proxies give every call the index 0, or none; llama-cpp-python repeats the id and the name in each piece."""

    def piece(id_: str, arguments: str, **place: Any) -> Any:
        function = {"name": "weather", "arguments": arguments}
        own = [{"id": id_, "type": "function", "function": function, **place}]
        return chunk(None, None, None, content=None, function_call=function, tool_calls=own)

    for place in ({"index": 0}, {}):
        events = [piece("a", '{"city":', **place), piece("a", ' "Rome"}', **place), piece("b", "{}", **place)]
        with playing([*events, chunk(None, None, "tool_calls")]) as server:
            result = generated(server, tools=[WEATHER])
        assert [(call.id, call.name, call.arguments) for call in result.tool_calls] == [
            ("a", "weather", '{"city": "Rome"}'), ("b", "weather", "{}")
        ]  # fmt: skip


def test_a_named_tool_ends_with_stop_at_openai() -> None:
    with playing(lambda *_: streamed_calls("openai_chat", ROME, end="stop")) as server:
        result = generated(server, tools=[WEATHER], tool_choice=WEATHER["function"] | {"type": "function"})
    assert result.finish_reason == "tool_calls" and result.tool_calls[0].complete


def test_logprobs_that_are_refused_beside_tools_are_asked_for_without() -> None:
    """llama-server says this for a stream."""

    def answer(number: int, body: Any) -> Any:
        if "tools" in body and "logprobs" in body:
            message = {"error": {"message": "logprobs is not supported with tools + stream"}}
            return 400, "application/json", [json.dumps(message).encode()]
        return streamed_calls("openai_chat", ROME) if "tools" in body else said("openai_chat", "Hi")

    with playing(answer) as server, Session(server.adapter(), "provider", seed=1) as session:
        assert session.generate(TALK, max_tokens=9, tools=[WEATHER]).tool_calls[0].parsed == {"city": "Rome"}
        session.generate(TALK, max_tokens=9)
    assert ["logprobs" in body for _, body in server.asked] == [True, False, True]


FAULTS: dict[str, tuple[Any, str]] = {
    "a cut": (("c1", "weather", ('{"city": ',)), "the call was cut before its end"),
    "malformed": (("c1", "weather", ('{"city": Rome}',)), "the arguments are no JSON object: Expecting value"),
    "a list": (("c1", "weather", ("[1]",)), r"the arguments are no JSON object: it is \[1\]"),
    "beyond a float": (("c1", "weather", ('{"city": 1e999}',)), "has a number that is too large for a float"),
    "half of a character": (("c1", "weather", ('{"city": "\\ud83d"}',)), "has half of a surrogate pair"),
    "not a number": (("c1", "weather", ('{"city": NaN}',)), "NaN is no number in JSON"),
    "another name": (("c1", "wether", ("{}",)), "there is no tool 'wether'; there is 'weather'"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_call_that_cannot_be_run_says_why(name: str, caplog: Any) -> None:
    call, why = FAULTS[name]
    with (
        playing(lambda *_: streamed_calls("openai_chat", call)) as server,
        caplog.at_level(logging.WARNING),
    ):
        (found,) = generated(server, tools=[WEATHER]).tool_calls
    assert found.arguments == "".join(call[2]) and found.complete is (name != "a cut")
    assert re.search(why, found.fault)
    assert sum("a call of a tool has a fault" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_provider_that_ignores_tools_is_an_error_where_a_call_was_required(dialect: str) -> None:
    with playing(lambda *_: said(dialect, "Sunny.")) as server:
        assert generated(server, dialect, tools=[WEATHER]).text == "Sunny."  # which is a good answer
        with pytest.raises(ProviderError, match="the answer calls no tool: the server ignores it") as caught:
            generated(server, dialect, tools=[WEATHER], tool_choice="required")
    assert caught.value.partial is not None and caught.value.partial.text == "Sunny."
    with playing(lambda *_: streamed_calls(dialect, ROME)) as server:
        with pytest.raises(ProviderError, match="tool_choice is 'none', and the model calls a tool") as caught:
            generated(server, dialect, tools=[WEATHER], tool_choice="none")
        assert caught.value.partial is not None and caught.value.partial.tool_calls[0].name == "weather"
        with pytest.raises(ProviderError, match="tool_choice names 'now', and the answer calls 'weather'") as caught:
            generated(server, dialect, tools=[WEATHER, NOW], tool_choice=NOW)
        assert caught.value.partial is not None
        assert [(call.complete, call.fault) for call in caught.value.partial.tool_calls] == [(True, "")]
        with pytest.raises(ProviderError, match=r"calls a tool .'weather'., and none was given"):
            generated(server, dialect)


def test_a_server_that_ends_at_once_for_its_choice_gets_that_hint() -> None:
    """llama-cpp-python's chat format for functions knows 'auto' and a tool by name."""
    for choice, why in (("required", "a tool_choice that it does not know"), ("auto", "set concurrency = 1")):
        with playing([chunk("")]) as server, pytest.raises(ProviderError, match=why):
            generated(server, tools=[WEATHER], tool_choice=choice)


def test_the_key_is_in_no_name_and_in_no_fault(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    key = "sk-canary-0123456789abcdef"
    monkeypatch.setenv("CANARY_KEY", key)
    evil = streamed_calls("openai_chat", (f"c-{key}", f"evil-{key}", ("{}",)))
    with playing(lambda *_: evil) as server, caplog.at_level(logging.DEBUG):
        result = generated(server, tools=[WEATHER], adapter={"api_key_env": "CANARY_KEY"})
    (call,) = result.tool_calls
    assert call.name.startswith("evil-") and "there is no tool 'evil-" in call.fault
    assert key not in repr(result.to_dict()) + caplog.text and key.encode() not in result.trace.to_bytes()


def test_an_end_for_calls_that_never_came_is_an_error() -> None:
    with (
        playing([chunk("Hm"), chunk(None, None, "tool_calls")]) as server,
        pytest.raises(ProviderError, match="ended its answer for a call of a tool, and sent none"),
    ):
        generated(server, tools=[WEATHER])


def test_conversations_that_a_template_writes_alike_are_not_taken_for_one_another() -> None:
    """Many templates leave out calls of tools, so the ids of both are the same, and one would be sent for the other."""

    def talk(city: str) -> Any:
        call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": f'{{"city": "{city}"}}'}}
        return [
            *TALK,
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "18"},
        ]

    with (
        playing(lambda *_: said("openai_chat", "18")) as server,
        Session(server.adapter(tokenizer=TalkingTokenizer()), "provider", seed=1) as session,
    ):
        for _ in range(2):  # the same one again is no other
            session.generate(talk("Rome"), max_tokens=4, tools=[WEATHER])
        with pytest.raises(ParameterError, match=r"conversation as it wrote another one.*leave tokenizer= out"):
            session.generate(talk("Bonn"), max_tokens=4, tools=[WEATHER])
