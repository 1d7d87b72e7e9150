"""APIs whose answers only the server can draw: OpenAI's responses and Anthropic's messages, as they are documented."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("httpx")

import httpx

import decodekit
from decodekit import Chain, Session
from decodekit.errors import ParameterError, ProviderError
from decodekit_remote import RemoteAdapter
from tests.adapters.remote.recorded import playing

TALK: Any = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Where is the cat?"}]
WORDS = ["On", " the", " mat", "."]


def responses(end: Any) -> list[Any]:
    listed = [{"token": word, "logprob": -0.5, "bytes": list(word.encode())} for word in WORDS]
    other = {"token": " sofa", "logprob": -1.5, "bytes": list(b" sofa")}
    deltas = [
        {
            "type": "response.output_text.delta",
            "delta": each["token"],
            "logprobs": [each | {"top_logprobs": [each, other]}],
        }
        for each in listed
    ]
    return [{"type": "response.created", "response": {"status": "in_progress"}}, *deltas, end]


COMPLETED = {"type": "response.completed", "response": {"status": "completed", "model": "m"}}
MESSAGES: list[Any] = [
    {"type": "message_start", "message": {"model": "m", "content": []}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "ping"},
    *[{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}} for word in WORDS],
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}},
    {"type": "message_stop"},
]


class Api:
    """Streams the same events to every question."""

    def __init__(self, events: list[Any]) -> None:
        self.events = events
        self.requests: list[Any] = []

    def __call__(self, request: Any) -> Any:
        if request.url.path == "/v1/models":
            return httpx.Response(200, json={"data": [{"id": "m"}]})
        self.requests.append(request)
        text = "".join(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n" for each in self.events)
        return httpx.Response(200, text=text, headers={"content-type": "text/event-stream"})

    def adapter(self, dialect: str, **params: Any) -> RemoteAdapter:
        return RemoteAdapter(
            base_url="http://api.test", dialect=dialect, transport=lambda: httpx.MockTransport(self), **params
        )

    @property
    def body(self) -> Any:
        return json.loads(self.requests[-1].content)


def test_responses_have_their_lists() -> None:
    api = Api(responses(COMPLETED))
    with Session(api.adapter("openai_responses"), Chain.of("temperature=0.7 top_p=0.9 provider"), seed=1) as session:
        result = session.generate(TALK, max_tokens=9)
    assert (result.text, result.finish_reason) == ("On the mat.", "stop")
    assert [step.choice.raw_logprob for step in result.trace.steps] == [-0.5] * 4
    assert result.trace.steps[0].raw.disclosed == 2 and result.trace.steps[0].raw.stage == "unknown"
    assert decodekit.verify(result.trace).word == "consistent"
    assert (api.body["temperature"], api.body["top_p"], api.body["max_output_tokens"]) == (0.7, 0.9, 16)
    assert api.body["input"] == TALK and "seed" not in api.body and "stop" not in api.body


@pytest.mark.parametrize(
    ("end", "why"),
    [
        ({"type": "response.failed", "response": {"error": {"message": "no capacity"}}}, "no capacity"),
        ({"type": "response.incomplete", "response": {"incomplete_details": {"reason": "content_filter"}}}, "filter"),
        ({"type": "response.function_call_arguments.delta", "delta": "{"}, "calls a tool, and none"),
        ({"type": "response.output_item.done"}, "without saying why"),
    ],
)
def test_an_answer_that_is_no_text_to_its_end_is_an_error(end: Any, why: str) -> None:
    api = Api(responses(end))
    with (
        Session(api.adapter("openai_responses"), Chain.of("provider"), seed=1) as session,
        pytest.raises(ProviderError, match=why) as caught,
    ):
        session.generate(TALK, max_tokens=9)
    assert "On the mat.".startswith(caught.value.partial.text) and len(caught.value.partial.token_ids) >= 3


def test_messages_are_text_only_and_their_key_has_its_own_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY_KEY", "sk-ant-canary-0123456789")
    api = Api(MESSAGES)
    adapter = api.adapter("anthropic_messages", api_key_env="CANARY_KEY")
    with Session(adapter, Chain.of("temperature=0.5 provider"), seed=1) as session:
        result = session.generate(TALK, max_tokens=9, stop=["\n", "||"])
    assert (result.text, result.finish_reason) == ("On the mat.", "stop")
    headers = api.requests[-1].headers
    assert headers["x-api-key"] == "sk-ant-canary-0123456789" and "authorization" not in headers
    assert headers["anthropic-version"]
    assert api.body == {
        "messages": TALK[1:], "system": "Be short.", "max_tokens": 9, "stream": True, "temperature": 0.5,
        "stop_sequences": ["||"], "model": "m",
    }  # fmt: skip
    step = result.trace.steps[0]
    assert (step.raw.disclosed, step.choice.raw_logprob) == (0, None)
    assert step.schedule is not None and step.schedule["logprobs"] == "none"


def test_what_these_apis_do_not_have_is_refused() -> None:
    api = Api(MESSAGES)
    with Session(api.adapter("anthropic_messages"), seed=1) as session:
        for text, why in {
            "presence_penalty=1 provider": "anthropic_messages it takes temperature and top_p only",
            "top_p=0.9 temperature=0.5 provider": "anthropic_messages applies temperature first",
            "temperature=1.5 provider": "a temperature from 0 to 1",
            "top_k=4": "this API gives no logprobs.*'top_k' of this chain: with anthropic_messages",
        }.items():
            with pytest.raises(ParameterError, match=why):
                session.generate(TALK, max_tokens=4, chain=Chain.of(text))
        with pytest.raises(ParameterError, match="cannot be continued"):
            session.generate([*TALK, {"role": "assistant", "content": "On"}], max_tokens=4, chain=Chain.of("provider"))
        assert api.requests == []


@pytest.mark.parametrize("dialect", ["anthropic_messages", "openai_responses"])
def test_what_needs_distributions_is_told_where_there_are_some(dialect: str) -> None:
    api = Api(MESSAGES)
    with Session(api.adapter(dialect), "temperature=0.7 provider", seed=1) as session:
        for ask in (lambda: session.score(TALK, "On"), lambda: session.rank(TALK, ["On", "In"])):
            with pytest.raises(ParameterError, match=r"score, rank .* need its distributions, which no setting gives"):
                ask()
    assert api.requests == []


PARTS: Any = [{"type": "text", "text": "Be"}, {"type": "text", "text": "brief."}]


def test_messages_of_parts_are_written_as_each_api_has_them() -> None:
    talk: Any = [
        {"role": "system", "content": PARTS},
        {"role": "developer", "content": "No lists."},
        {"role": "user", "content": PARTS},
        {"role": "assistant", "content": PARTS},
        {"role": "user", "content": "Go on.", "name": None},
    ]
    api = Api(MESSAGES)
    with Session(api.adapter("anthropic_messages"), seed=1) as session:
        session.generate(talk, max_tokens=4)
    assert api.body["system"] == "Be\nbrief.\n\nNo lists."
    assert api.body["messages"] == [
        {"role": "user", "content": PARTS},
        {"role": "assistant", "content": PARTS},
        {"role": "user", "content": "Go on."},
    ]
    api = Api(responses(COMPLETED))
    with Session(api.adapter("openai_responses"), seed=1) as session:
        session.generate(talk, max_tokens=4)
    assert api.body["input"][0]["content"] == [{**part, "type": "input_text"} for part in PARTS]
    assert api.body["input"][3]["content"] == [{**part, "type": "output_text"} for part in PARTS]
    assert api.body["input"][4] == {"role": "user", "content": "Go on."}


@pytest.mark.parametrize("dialect", ["anthropic_messages", "openai_responses"])
@pytest.mark.parametrize(
    ("message", "why"),
    [
        ({"role": "user", "content": None}, "'user' has no text: content is None"),
        ({"role": "user"}, "'user' has no text"),
        ({"role": "user", "content": [{"type": "image_url"}]}, "'image_url'; only parts of type 'text'"),
        ({"role": "tool", "content": "7"}, "message 0 has no 'tool_call_id'"),
        ({"role": "function", "content": "7"}, "message 0 has the role 'function'"),
        ({"role": "user", "content": "", "tool_calls": [{"id": "1"}]}, "message 0 has 'tool_calls'; of a message of"),
        (
            {"role": "assistant", "content": "", "tool_calls": [{"id": "1"}]},
            r"message 0: tool_calls\[0\] is not of the",
        ),
    ],
)
def test_a_message_that_cannot_be_written_is_refused(dialect: str, message: Any, why: str) -> None:
    api = Api(MESSAGES)
    with Session(api.adapter(dialect), seed=1) as session, pytest.raises(ParameterError, match=why):
        session.generate([message, *TALK[1:]], max_tokens=4)
    assert api.requests == []


RECORDED = [
    ("openai_chat", "llama_server", "v1_chat_stream", ["I", "'m"]),
    ("openai_chat", "llama_cpp_python", "chat_top_logprobs5_stream", ["I", "'m"]),
    ("openai_completions", "llama_server", "v1_completions_stream", [" Paris", "."]),
    ("openai_completions", "llama_cpp_python", "completions_logprobs5_stream", [" Paris", ".", "\n"]),
]


@pytest.mark.parametrize(("dialect", "server", "name", "texts"), RECORDED)
def test_recorded_streams_are_read_as_drawn_tokens(dialect: str, server: str, name: str, texts: list[str]) -> None:
    adapter = RemoteAdapter(
        base_url="http://api.test", dialect=dialect, probe=False, transport=lambda: playing(server, name, "models")
    )
    with Session(adapter, Chain.of("provider"), seed=1) as session:
        steps = list(session.stream("The capital of France is", max_tokens=len(texts)))
    assert [step.text for step in steps] == texts
    assert [step.choice.rank for step in steps] == [0] * len(texts)  # these servers were greedy
    assert all(step.choice.raw_logprob is not None and step.choice.raw_logprob < 0 for step in steps)
