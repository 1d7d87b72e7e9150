"""Streams of drawn answers: what servers refuse, count, leave open and say in the middle."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

pytest.importorskip("httpx")

from decodekit import Session
from decodekit.errors import ModelNotFound, ProviderError
from decodekit_remote import Refused
from tests.adapters.remote.scripted import TALK, anthropic, chunk, entry, generated, playing, responses, streamed

STOP = chunk("", None, "stop")
JSON = "application/json"


def refused(status: int, message: Any) -> tuple[int, str, list[bytes]]:
    return status, JSON, [json.dumps(message).encode()]


def test_a_parameter_that_no_law_needs_is_left_out_where_it_is_refused(caplog: Any) -> None:
    def answer(number: int, body: Any) -> Any:
        for name in ("seed", "stream_options"):
            if name in body:
                return refused(422, {"detail": [{"type": "extra_forbidden", "loc": ["body", name], "input": 1}]})
        return streamed([chunk("a"), STOP])

    with playing(answer) as server, caplog.at_level(logging.WARNING):
        with Session(server.adapter(), "temperature=0.5 provider", seed=1) as session:
            result = session.generate(TALK, max_tokens=4)
            assert session.generate(TALK, max_tokens=4).text == "a"
        assert len(server.asked) == 4 and server.asked[-1][1]["temperature"] == 0.5
    assert result.trace.steps[0].schedule["not_sent"] == "seed, stream_options"
    assert sum("parameter='seed'" in record.getMessage() for record in caplog.records) == 1


def test_a_parameter_of_the_law_is_never_left_out() -> None:
    with playing(lambda *_: refused(400, {"error": {"message": "Unsupported parameter: 'top_p'"}})) as server:
        with pytest.raises(ProviderError, match="'top_p'"):
            generated(server, chain="top_p=0.9 provider")
        assert len(server.asked) == 1


def test_the_numbers_of_tokens_are_the_servers() -> None:
    usage = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}
    with playing([*map(chunk, "abcdefghij"), STOP, usage]) as server:
        result = generated(server, max_tokens=4)
        assert server.asked[0][1]["stream_options"] == {"include_usage": True}
    assert (result.text, result.finish_reason) == ("abcdefghij", "stop")  # ten pieces, three tokens
    assert (result.usage.prompt_tokens, result.usage.completion_tokens) == (7, 3)
    with playing(lambda *_: streamed(anthropic("Hello there."), done=False)) as server:
        told = generated(server, "anthropic_messages").usage
    assert (told.prompt_tokens, told.completion_tokens) == (9, 12)
    with playing(lambda *_: streamed(anthropic("Hello", " there."), done=False)) as server:
        told = generated(server, "anthropic_messages", stop=["th"]).usage  # the server's end is not awaited
    assert told.prompt_tokens == 9


def test_a_server_that_goes_beyond_max_tokens_is_cut_there_where_tokens_can_be_counted() -> None:
    with playing([chunk(letter, [entry(letter)]) for letter in "abcdefghij"]) as server:
        result = generated(server, max_tokens=4)
    assert (result.text, result.finish_reason, result.usage.completion_tokens) == ("abcd", "length", 4)
    with playing(responses(*((letter, [entry(letter)]) for letter in "abcdefghij"))) as server:
        result = generated(server, "openai_responses", max_tokens=4)
        assert server.asked[0][1]["max_output_tokens"] == 16
    assert result.text == "abcd" and "16 tokens at least" in result.trace.header.adapter["drawing"]["notes"][0]


def pings(gone: Any) -> bytes:
    return b"" if gone.wait(0.05) else b': ping\n\ndata: {"type": "ping"}\n\n'


@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic_messages"])
def test_a_sign_of_life_does_not_put_off_the_deadline(dialect: str) -> None:
    first = [chunk("a")] if dialect == "openai_chat" else anthropic("a")[:2]
    comments = lambda gone: b"" if gone.wait(0.05) else b": ping\n\n"  # noqa: E731
    idle = [comments if dialect == "openai_chat" else pings] * 200
    with playing([*first, *idle]) as server, pytest.raises(ProviderError, match=r"sent nothing for 0.4 s") as caught:
        generated(server, dialect, adapter={"deadline": 0.4})
    assert caught.value.partial.text == "a"


def test_the_servers_reason_stands_behind_a_deadline() -> None:
    limited = (429, JSON, [b'{"error": {"message": "rate limit reached"}}'])
    with playing(lambda *_: limited) as server:
        with pytest.raises(Refused, match="answered 429: rate limit reached"):
            generated(server, adapter={"deadline": 0.3, "attempts": 20})
        server.headers["retry-after"] = "60"
        with pytest.raises(
            Refused, match="429: rate limit reached; it asks to wait 60 s, beyond the deadline"
        ) as caught:
            generated(server, adapter={"deadline": 5.0})
    assert (caught.value.status, caught.value.wait) == (429, 60.0)


BUSY = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


def test_an_overloaded_server_is_asked_again_also_where_it_says_so_in_the_stream(caplog: Any) -> None:
    def answer(number: int, body: Any) -> Any:
        return streamed([BUSY] if number == 1 else anthropic("a"), done=False)

    with caplog.at_level(logging.INFO), playing(answer) as server:
        assert generated(server, "anthropic_messages").text == "a"
    (again,) = [record for record in caplog.records if record.getMessage().startswith("asking again")]
    assert again.adapter == "remote" and again.run and again.seconds >= 0  # type: ignore[attr-defined]


SAID: dict[str, tuple[tuple[int, str, list[bytes]], str]] = {
    "an error in place of a stream": (refused(200, {"error": {"message": "quota exceeded"}}), "quota exceeded"),
    "vLLM's": (refused(200, {"object": "error", "message": "quota exceeded"}), "quota exceeded"),
    "vLLM's as an event": (streamed([{"object": "error", "message": "boom", "code": 400}]), "400: boom"),
    "named by the event": (streamed([b'event: error\ndata: {"message": "overloaded"}\n\n']), "overloaded"),
    "FastAPI's": (streamed([{"detail": "nope"}]), "nope"),
    "a page": ((200, "text/html", [b"<h1>Welcome</h1>"]), "'text/html': <h1>Welcome</h1>"),
    "no UTF-8": (streamed([b'data: {"choices": [{"delta": {"content": "caf\xe9"}}]}\n\n']), "not UTF-8.*0xe9"),
    "nothing": (streamed([chunk("a")]), "ended its answer without saying why"),
}


@pytest.mark.parametrize("name", SAID)
def test_what_a_server_says_of_an_error_is_shown(name: str) -> None:
    told, why = SAID[name]
    with playing(lambda *_: told) as server, pytest.raises(Refused, match=why) as caught:
        generated(server, adapter={"attempts": 1})
    assert isinstance(caught.value, ProviderError)


def test_the_hint_at_llama_cpp_pythons_server_is_for_that_server() -> None:
    for dialect, params, hinted in (
        ("openai_chat", {}, True),
        ("openai_chat", {"probe": True}, False),
        ("anthropic_messages", {}, False),
    ):
        events = [chunk("a", [entry("a")])] if dialect == "openai_chat" else anthropic("a")[:2]
        whole = {"choices": [{**events[0]["choices"][0], "finish_reason": "length"}]} if "choices" in events[0] else {}

        def answer(number: int, body: Any, events: Any = events, whole: Any = whole) -> Any:
            return streamed(events, done=False) if body["stream"] else refused(200, whole)

        with playing(answer) as server, pytest.raises(ProviderError) as caught:
            generated(server, dialect, adapter=params)
        assert "without saying why" in str(caught.value)
        assert ("concurrency = 1" in str(caught.value)) is hinted


def test_a_byte_order_mark_and_a_type_in_capitals_are_read() -> None:
    status, _, pieces = streamed([chunk("a"), STOP])
    with playing(lambda *_: (status, "Text/Event-Stream; charset=utf-8", [b"\xef\xbb\xbf", *pieces])) as server:
        assert generated(server).text == "a"


def test_a_server_that_lists_no_models_says_that_one_must_be_named() -> None:
    def answer(number: int, body: Any) -> Any:
        if body.get("model") != "m":
            return refused(404, {"error": {"message": f"The model `{body.get('model')}` does not exist"}})
        return streamed([chunk("a"), STOP])

    with playing(answer, owner=None) as server:
        with pytest.raises(ModelNotFound, match="lists no models, so name one with model="):
            generated(server)
        assert generated(server, adapter={"model": "m"}).text == "a"
        with pytest.raises(ProviderError, match="such as dialect='openai_chat', and the model with model="):
            generated(server, "auto", adapter={"probe": True})
