"""The text of the events is the answer; a list only says which parts of it are tokens."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("httpx")

import decodekit
from decodekit import Session
from decodekit.errors import ProviderError
from tests.adapters.remote.scripted import TALK, chunk, entry, generated, playing, responses
from tests.adapters.remote.servers import TalkingTokenizer

STOP = chunk("", None, "stop")


def keyed(text: str, key: str, ends: str | None = None) -> Any:
    """An event of completions with one token in its lists."""
    lists = {"tokens": [key], "token_logprobs": [-0.5], "top_logprobs": [{key: -0.5}]}
    return {"choices": [{"index": 0, "text": text, "finish_reason": ends, "logprobs": lists}]}


def other(index: int, text: str) -> Any:
    return {"choices": [{"index": index, "delta": {"content": text}, "finish_reason": None}]}


UNREADABLE = entry("�", bytes=None)
ANSWERS: dict[str, tuple[str, list[Any], str, list[float | None]]] = {
    "one list for two tokens": ("openai_chat", [chunk("Hello world", [entry("Hello")]), STOP], "Hello world", [None]),
    "the same of responses": ("openai_responses", responses(("Hello world", [entry("Hello")])), "Hello world", [None]),
    "the same of completions": (
        "openai_completions",
        [keyed(" sat down", " sat"), keyed("", "", "stop")],
        " sat down",
        [None],
    ),
    "the end of the turn in the list": (
        "openai_chat",
        [chunk("Paris", [entry("Paris"), entry("<|im_end|>")], "stop")],
        "Paris",
        [-0.5],
    ),
    "the end of the turn in an event": (
        "openai_chat",
        [chunk("Paris", [entry("Paris")]), chunk("", [entry("<|im_end|>")]), STOP],
        "Paris",
        [-0.5],
    ),
    "a letter for the space": ("openai_chat", [chunk("Hello", [entry("ĠHello", bytes=None)]), STOP], "Hello", [None]),
    "the id of a token": ("openai_chat", [chunk("Hi", [entry("token_id:7", bytes=None)]), STOP], "Hi", [None]),
    "U+FFFD twice for é": ("openai_chat", [chunk("é", [UNREADABLE, UNREADABLE]), STOP], "é", [None]),
    "U+FFFD, and é in the next event": (
        "openai_chat",
        [chunk("", [UNREADABLE]), chunk("é", [entry("é")]), STOP],
        "é",
        [-0.5],
    ),
    "the bytes of é before its text": (
        "openai_chat",
        [chunk("", [entry("�", bytes=[0xC3])]), chunk("é", [entry("�", bytes=[0xA9])]), STOP],
        "é",
        [-0.5, -0.5],
    ),
    "a text that lags behind its lists": (
        "openai_chat",
        [chunk("on", [entry("one")]), chunk("e t", [entry(" two")]), chunk("wo"), STOP],
        "one two",
        [-0.5, -0.5],
    ),
    "equal keys": (
        "openai_chat",
        [chunk("a", [{**entry("a"), "top_logprobs": [{"token": "a", "logprob": -0.1}] * 2}]), STOP],
        "a",
        [None],
    ),
    "logprobs that are null": ("openai_chat", [chunk("a", [entry("a", None)]), STOP], "a", [None]),
    "another choice between": ("openai_chat", [other(1, "B"), other(0, "A"), other(1, "C"), STOP], "A", [None]),
    "the choices of an event reordered": (
        "openai_chat",
        [{"choices": [*other(1, "B")["choices"], *other(0, "A")["choices"]]}, STOP],
        "A",
        [None],
    ),
    "half an emoji in each of two events": (
        "openai_chat",
        [json.dumps(chunk("x\ud83d")), json.dumps(chunk("\ude00y")), STOP],
        "x😀y",
        [None, None],
    ),
    "half an emoji at the end": ("openai_chat", [json.dumps(chunk("x\ud83d")), STOP], "x�", [None, None]),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_nothing_of_the_text_is_lost_or_added(name: str) -> None:
    dialect, events, text, logprobs = ANSWERS[name]
    with playing(events) as server:
        result = generated(server, dialect, "the cat" if dialect == "openai_completions" else TALK)
    assert (result.text, result.finish_reason) == (text, "stop")
    assert "".join(token.text for token in result.tokens) == text
    assert [token.logprob for token in result.tokens] == logprobs
    assert decodekit.verify(result.trace).word == "consistent"


OTHERS: dict[str, tuple[str, list[Any], str]] = {
    "a refusal": ("openai_chat", [chunk(refusal="I can't"), STOP], 'refuses to answer: "I can\'t"'),
    "a function": ("openai_chat", [chunk(function_call={"name": "f"}), STOP], "the answer has 'function_call'"),
    "a refusal of responses": (
        "openai_responses",
        [{"type": "response.refusal.delta", "delta": "No."}, *responses()],
        "refuses to answer: 'No.'",
    ),
    "a tool of responses": (
        "openai_responses",
        [{"type": "response.output_item.added", "item": {"type": "custom_tool_call"}}, *responses()],
        "the answer has 'custom_tool_call'",
    ),
    "incomplete for no reason": (
        "openai_responses",
        responses(("Hi", []), end={"type": "response.incomplete", "response": {"incomplete_details": None}}),
        "for the reason 'incomplete'",
    ),
    "parts that go back": (
        "openai_responses",
        [{"type": "response.output_text.delta", "delta": "A", "output_index": at} for at in (1, 0)],
        "another order",
    ),
    "a text that is a list": ("openai_chat", [chunk(content=[{"type": "thinking"}])], "a text that is list"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_an_answer_that_is_another_thing_than_text_is_an_error(name: str) -> None:
    dialect, events, why = OTHERS[name]
    with playing(events) as server, pytest.raises(ProviderError, match=why):
        generated(server, dialect)


WHOLE: dict[str, Any] = {
    "openai_chat": {
        "choices": [
            {
                "index": 0,
                "message": {"content": "Hello."},
                "finish_reason": "stop",
                "logprobs": {"content": [entry("Hello"), entry(".")]},
            }
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 3},
    },
    "openai_responses": {
        "object": "response",
        "status": "completed",
        "output": [
            {"type": "reasoning"},
            {
                "type": "message",
                "content": [{"type": "output_text", "text": "Hello.", "logprobs": [entry("Hello"), entry(".")]}],
            },
        ],
        "usage": {"input_tokens": 9, "output_tokens": 3},
    },
    "anthropic_messages": {
        "type": "message",
        "content": [{"type": "thinking"}, {"type": "text", "text": "Hello."}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 4, "cache_read_input_tokens": 5, "output_tokens": 3},
    },
}


@pytest.mark.parametrize("dialect", WHOLE)
def test_a_server_that_does_not_stream_is_read_as_one_event(dialect: str) -> None:
    with playing(lambda *_: (200, "application/json", [json.dumps(WHOLE[dialect]).encode()])) as server:
        result = generated(server, dialect)
    assert (result.text, result.finish_reason) == ("Hello.", "stop")
    assert (result.usage.prompt_tokens, result.usage.completion_tokens) == (9, 3)


def test_a_token_is_given_when_it_comes_unless_its_text_may_begin_a_stop_text() -> None:
    def blocks(gone: Any) -> bytes:
        gone.wait(60)
        return b""

    words = [chunk("one", [entry("one")]), chunk(" two", [entry(" two")])]
    with playing([*words, blocks]) as server, Session(server.adapter(), "provider", seed=1) as session:
        stream = session.stream(TALK, max_tokens=9)
        assert [next(stream).text, next(stream).text] == ["one", " two"]
        stream.close()
        seen = session.generate(TALK, max_tokens=9, stop=["two"])
        late = session.generate(TALK, max_tokens=9, stop=["two three"], deadline=1.0)
    assert (seen.text, seen.finish_reason) == ("one ", "stop")
    assert (late.text, late.finish_reason, len(late.token_ids)) == ("one two", "deadline", 2)
    assert "".join(step.text for step in late.trace.steps) == "one two"
    with playing([*words, STOP]) as server, Session(server.adapter(), "provider", seed=1) as session:
        steps = list(session.stream(TALK, max_tokens=9, stop=["two three"]))
    assert [step.text for step in steps] == ["one", " two"]


@pytest.mark.parametrize(
    "last", [chunk("", None, "content_filter"), {"error": {"message": "boom"}}, "not json"], ids=["a", "b", "c"]
)
def test_an_error_has_all_that_came_before_it(last: Any) -> None:
    events = [chunk("one"), chunk(" tw"), chunk("o", [entry("one")]), last]
    with playing(events) as server, pytest.raises(ProviderError) as caught:
        generated(server)
    assert caught.value.partial.text == "one two"


class Lossy(TalkingTokenizer):
    """Encodes texts in lower case."""

    loses = "capitals"

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        return super().encode(text if special else text.lower(), special=special)


def test_with_a_tokenizer_the_tokens_spell_the_text_or_it_is_an_error() -> None:
    events = [chunk("a <end> b", [entry("a <end>")]), chunk("<end>", [entry("<end>")]), chunk("é"), STOP]
    with playing(events) as server:
        result = generated(server, adapter={"tokenizer": TalkingTokenizer()})
    assert (result.text, result.finish_reason) == ("a <end> b<end>é", "stop")
    assert bytes(result.token_ids).decode() == result.text
    with playing([chunk("ABC"), STOP]) as server, pytest.raises(ProviderError, match="'ABC', which is no token of"):
        generated(server, adapter={"tokenizer": Lossy()})


LEFT_OUT: dict[str, tuple[Any, str]] = {
    "none": (None, "none"),
    "positive": ([entry("Hel", 0.5)], "not understood: the server sent positive logprobs"),
    "a sum above 1": ([{**entry("Hel", -0.1), "top_logprobs": [entry(t, -0.1) for t in ("Hel", "lo")]}], "sum of 1.8"),
    "of another text": ([entry("Bye")], "not understood: the list is of another text than the answer"),
}  # fmt: skip


@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_step_says_why_it_has_no_list(name: str) -> None:
    listed, why = LEFT_OUT[name]
    with playing([chunk("Hel", listed), STOP]) as server:
        (step,) = generated(server).trace.steps
    assert step.raw.disclosed == 0 and why in step.schedule["logprobs"]
