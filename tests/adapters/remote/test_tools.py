"""Tools that go to a provider that draws, and the calls that come back, in all dialects that have them."""

from __future__ import annotations

import asyncio
import json
import re
from html import escape
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx")

import decodekit
from decodekit import AsyncSession, Session
from decodekit.errors import ParameterError
from decodekit.trace import read_trace
from decodekit_remote import RemoteAdapter
from tests.adapters.remote.recorded import playing as recorded
from tests.adapters.remote.scripted import TALK, chunk, generated, playing
from tests.adapters.remote.tool_answers import (
    BONN,
    CITY,
    DIALECTS,
    NOW,
    ROME,
    WEATHER,
    said,
    streamed_calls,
    whole_calls,
)

FLAT: Any = {"type": "function", **WEATHER["function"], "strict": True}

SENT: dict[str, tuple[Any, Any, Any]] = {
    "openai_chat": ([WEATHER, NOW], "required", {"type": "function", "function": {"name": "now"}}),
    "openai_responses": (
        [
            {"type": "function", **WEATHER["function"], "strict": False},
            {"type": "function", "name": "now", "parameters": None, "strict": False},
        ],
        "required",
        {"type": "function", "name": "now"},
    ),
    "anthropic_messages": (
        [
            {"name": "weather", "description": "Of a city.", "input_schema": CITY},
            {"name": "now", "input_schema": {"type": "object", "properties": {}}},
        ],
        {"type": "any"},
        {"type": "tool", "name": "now"},
    ),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_tools_go_in_the_form_of_the_dialect(dialect: str) -> None:
    tools, required, named = SENT[dialect]
    with playing(lambda *_: streamed_calls(dialect, ("c1", "now", ()))) as server:
        generated(server, dialect, tools=[WEATHER, NOW])
        assert server.asked[-1][1]["tools"] == tools and "tool_choice" not in server.asked[-1][1]
        generated(server, dialect, tools=[WEATHER, NOW], tool_choice="required")
        assert server.asked[-1][1]["tool_choice"] == required
        generated(server, dialect, tools=[WEATHER, NOW], tool_choice=NOW)
        assert server.asked[-1][1]["tool_choice"] == named
        generated(server, dialect, tools=[FLAT])  # as OpenAI's responses write a definition
        (written,) = server.asked[-1][1]["tools"]
        assert (written.get("function") or written)["strict"] is True
    with playing(lambda *_: said(dialect, "no")) as server:
        assert generated(server, dialect, tools=[]).text == "no" and "tools" not in server.asked[-1][1]


@pytest.mark.parametrize("whole", [False, True], ids=["streamed", "whole"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_calls_come_back_beside_the_text(dialect: str, whole: bool) -> None:
    answer = (whole_calls if whole else streamed_calls)(dialect, ROME, BONN, text="Let me look.")
    with playing(lambda *_: answer) as server:
        result = generated(server, dialect, tools=[WEATHER])
    assert (result.text, result.finish_reason) == ("Let me look.", "tool_calls")
    assert [(call.id, call.name, call.parsed) for call in result.tool_calls] == [
        ("c1", "weather", {"city": "Rome"}), ("c2", "weather", {"city": "Bonn"})
    ]  # fmt: skip
    assert all(call.complete and not call.fault for call in result.tool_calls)
    assert result.tool_calls[0].arguments == '{"city": "Rome"}'
    assert decodekit.verify(result.trace).word == "consistent"
    assert json.loads(json.dumps(result.to_dict()))["tool_calls"][0] == result.tool_calls[0].to_dict()
    assert "calls weather, weather" in repr(result)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_answer_that_only_calls_has_no_steps(dialect: str, tmp_path: Path) -> None:
    """A tool without parameters: its arguments are {} or nothing, as the API writes them."""
    with playing(lambda *_: streamed_calls(dialect, ("c1", "now", ()))) as server:
        result = generated(server, dialect, tools=[NOW], trace=tmp_path / "run.jsonl")
    (call,) = result.tool_calls
    assert (result.text, result.trace.steps, call.parsed, call.fault) == ("", [], {}, "")
    trace = read_trace(tmp_path / "run.jsonl")
    assert trace.header.tools == [NOW] and trace.footer is not None
    assert trace.footer.ends[0].tool_calls == (call,) and trace.footer.ends[0].finish_reason == "tool_calls"
    assert decodekit.verify(trace).word == "consistent"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_conversation_goes_on_with_the_answers_of_tools(dialect: str) -> None:
    def answer(number: int, body: Any) -> Any:
        return streamed_calls(dialect, ROME, BONN, text="I look.") if number == 1 else said(dialect, "18 and 9.")

    with playing(answer) as server, Session(server.adapter(dialect), seed=1) as session:
        talk = [*TALK]
        first = session.generate(talk, max_tokens=16, tools=[WEATHER])
        talk += [
            first.message,
            *(call.answer(f"{call.parsed['city']}: 18") for call in first.tool_calls if call.parsed),
        ]
        last = session.generate(talk, max_tokens=16, tools=[WEATHER])
        body = server.asked[-1][1]
    assert (last.text, last.finish_reason, last.tool_calls) == ("18 and 9.", "stop", ())
    assert last.message == {"role": "assistant", "content": "18 and 9."}
    if dialect == "openai_chat":
        assert body["messages"] == talk
        assert body["messages"][-1] == {"role": "tool", "tool_call_id": "c2", "content": "Bonn: 18"}
    elif dialect == "openai_responses":
        made = [{"type": "function_call", "call_id": each[0], "name": "weather", "arguments": "".join(each[2])}
                for each in (ROME, BONN)]  # fmt: skip
        told = [{"type": "function_call_output", "call_id": each, "output": text}
                for each, text in (("c1", "Rome: 18"), ("c2", "Bonn: 18"))]  # fmt: skip
        assert body["input"] == [*TALK, {"role": "assistant", "content": "I look.", "type": "message"}, *made, *told]
    else:
        used = [{"type": "tool_use", "id": each, "name": "weather", "input": {"city": city}}
                for each, city in (("c1", "Rome"), ("c2", "Bonn"))]  # fmt: skip
        told = [{"type": "tool_result", "tool_use_id": each, "content": text}
                for each, text in (("c1", "Rome: 18"), ("c2", "Bonn: 18"))]  # fmt: skip
        assert body["messages"] == [
            *TALK,
            {"role": "assistant", "content": [{"type": "text", "text": "I look."}, *used]},
            {"role": "user", "content": told},
        ]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_loop_of_the_page_goes_on_until_no_tool_is_called(dialect: str) -> None:
    page = (Path(__file__).parents[3] / "docs" / "remote.md").read_text()
    (loop,) = re.findall(r"^def converse.*?(?=^```)", page, flags=re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(loop, names)
    answers = [streamed_calls(dialect, BONN), streamed_calls(dialect, ("c9", "wether", ("{}",))), said(dialect, "18.")]
    with playing(lambda number, _: answers[number - 1]) as server, Session(server.adapter(dialect), seed=1) as session:
        talk = [*TALK]
        text = names["converse"](session, talk, [WEATHER], lambda name, given: f"{name} of {given['city']}: 18")
    assert text == "18." and talk[2]["content"] == "weather of Bonn: 18"
    assert talk[4]["content"] == "there is no tool 'wether'; there is 'weather'"


def test_each_sample_has_its_own_calls() -> None:
    """All samples begin with the same prompt, and their calls come at the same time."""

    def answer(number: int, body: Any) -> Any:
        if number == 3:
            return streamed_calls("openai_chat", (f"c{number}", "weather", ('{"city": "Os',)), broken=True)
        return streamed_calls("openai_chat", (f"c{number}", "weather", (f'{{"city": "{body["seed"]}', '"}')))

    with playing(answer) as server, Session(server.adapter(), "provider", seed=1) as session:
        (results,) = session.generate_many([TALK], n=4, max_tokens=16, tools=[WEATHER])
    seeds = {body["seed"] for _, body in server.asked}
    whole = [result for result in results if result.finish_reason == "tool_calls"]
    assert {call.parsed["city"] for result in whole for call in result.tool_calls} <= set(map(str, seeds))
    for result in results:  # each shows its own
        page = result.to_html()
        assert all((escape(call.line) in page) == (other is result) for other in results for call in other.tool_calls)
    assert len({call.id for result in results for call in result.tool_calls}) == 4 and len(whole) == 3
    (failed,) = (result for result in results if result.finish_reason == "error")
    assert (failed.tool_calls[0].id, failed.tool_calls[0].complete) == ("c3", False)


def test_tools_go_through_every_door() -> None:
    with playing(lambda *_: streamed_calls("openai_chat", ROME, text="Well")) as server:
        options: Any = {"max_tokens": 9, "tools": [WEATHER], "tool_choice": "required"}

        async def asked() -> list[Any]:
            async with AsyncSession(server.adapter(), "provider", seed=1) as session:
                stream = session.stream(TALK, **options)
                texts = [step.text async for step in stream]
                return [await session.generate(TALK, **options), texts, stream.result]

        one, texts, whole = asyncio.run(asked())
        with Session(server.adapter(), "provider", seed=1) as session:
            steps = session.stream(TALK, **options)
            texts += [step.text for step in steps]
            others = [one, whole, steps.result, *session.as_completed([TALK], **options)]
    assert texts == ["Well", "Well"]
    assert [[call.parsed for call in result.tool_calls] for result in others] == [[{"city": "Rome"}]] * 4
    assert all(body["tools"] == [WEATHER] and body["tool_choice"] == "required" for _, body in server.asked)


# -- what is refused before anything is sent ----------------------------------------------------------------------


def test_where_there_are_no_tools_they_are_refused_with_the_way_out() -> None:
    with playing([chunk("Hm"), chunk(None, None, "stop")]) as server:
        with pytest.raises(ParameterError, match="tools: openai_completions asks for the continuation of a text"):
            generated(server, "openai_completions", "the cat", tools=[WEATHER])
        with pytest.raises(ParameterError, match=r"end the chain with .* 'provider'.*decodekit.processor.'tools'"):
            generated(server, chain="multinomial", adapter={"prefill": "last_message"}, tools=[WEATHER])
        assert server.asked == []


def test_arguments_that_are_no_object_do_not_go_to_anthropic() -> None:
    talk = [
        *TALK,
        {"role": "assistant", "content": None,
         "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "?"},
    ]  # fmt: skip
    with playing(lambda *_: said("anthropic_messages", "x")) as server:
        generated(server, "anthropic_messages", talk, tools=[WEATHER])
        _, asked, answer = server.asked[0][1]["messages"]
    assert asked["content"][0]["input"] == {}
    texts = [part["text"] for part in answer["content"][0]["content"]]
    assert texts == ["?", "The arguments were no JSON object: {"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_loop_goes_on_after_a_call_that_cannot_be_run(dialect: str) -> None:
    """Every answer can go back as it is."""
    for pieces, cut in ((('{"city": Rome}',), False), (('{"city": "Ro',), True), ((), False)):

        def answer(number: int, body: Any, pieces: Any = pieces, cut: Any = cut) -> Any:
            return said(dialect, "done") if number > 1 else streamed_calls(dialect, ("c1", "weather", pieces), cut=cut)

        with playing(answer) as server, Session(server.adapter(dialect), "provider", seed=1) as session:
            result = session.generate(TALK, max_tokens=16, tools=[WEATHER])
            (call,) = result.tool_calls
            talk = [*TALK, result.message, call.answer(call.fault)]
            assert session.generate(talk, max_tokens=16, tools=[WEATHER]).text == "done"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_calls_may_stand_in_a_message_as_they_came(dialect: str) -> None:
    call = decodekit.ToolCall("c1", "weather", '{"city": "Rome"}')
    asks: Any = {"role": "assistant", "content": "", "tool_calls": [call]}
    with playing(lambda *_: said(dialect, "done")) as server:
        for own in (asks, {**asks, "tool_calls": [call.as_message_part()]}):
            result = generated(server, dialect, [*TALK, own, call.answer("18")], tools=[WEATHER])
            assert result.text == "done" and b"weather" in result.trace.to_bytes()
        first, second = [body for _, body in server.asked]
        assert first == second
        with pytest.raises(ParameterError, match=r"message 1 calls tools, and no answer follows; add call\.answer"):
            generated(server, dialect, [*TALK, asks], tools=[WEATHER])
        with pytest.raises(ParameterError, match=r"prompt 0: messages hold what is no plain data: .* set is not JSON"):
            generated(server, dialect, [{**TALK[0], "tool_calls": {1}}])


# -- what real servers sent ---------------------------------------------------------------------------------------

RECORDED = [
    ("openai_chat", "llama_server", "v1_chat_tools_stream", "Rome"),
    ("openai_responses", "llama_server", "v1_responses_tools_stream", "Rome"),
    ("anthropic_messages", "llama_server", "v1_messages_tools_stream", "Rome"),
    ("openai_chat", "llama_cpp_python", "chat_tools_stream", "Paris"),
]


@pytest.mark.parametrize(("dialect", "server", "name", "city"), RECORDED)
def test_recorded_streams_are_read_as_calls(dialect: str, server: str, name: str, city: str) -> None:
    adapter = RemoteAdapter(
        base_url="http://api.test", dialect=dialect, probe=False, transport=lambda: recorded(server, name, "models")
    )
    tool = {"name": "get_weather", "parameters": CITY}
    with Session(adapter, "provider", seed=1) as session:
        result = session.generate(TALK, max_tokens=60, tools=[tool])
    (call,) = result.tool_calls
    assert (result.text, result.finish_reason, result.trace.steps) == ("", "tool_calls", [])
    assert (call.name, call.parsed, call.complete, call.fault) == ("get_weather", {"city": city}, True, "")
    assert call.id
