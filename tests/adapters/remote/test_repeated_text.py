"""Texts that a server says at the end only, or again, or in another place than its API has them."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from decodekit import Chain, Session
from decodekit.errors import ProviderError
from decodekit_remote import RemoteAdapter

TALK: Any = [{"role": "user", "content": "Say hello."}]


def delta(text: str) -> Any:
    return {"type": "response.output_text.delta", "delta": text}


def done(text: str) -> Any:
    return {"type": "response.output_text.done", "text": text}


def completed(*texts: str) -> Any:
    content = [{"type": "output_text", "text": text} for text in texts]
    output = [{"type": "message", "content": content}] if texts else []
    return {"type": "response.completed", "response": {"status": "completed", "output": output}}


def blocks(first: str, added: str) -> list[Any]:
    return [
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": first}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": added}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
        {"type": "message_stop"},
    ]


def chat(text: str) -> list[Any]:
    return [
        {"choices": [{"index": 0, "text": text}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    ]


ANSWERS: dict[str, tuple[str, list[Any], str | None]] = {
    "once, in pieces": ("openai_responses", [delta("Hel"), delta("lo"), completed()], "Hello"),
    "in pieces, and again": (
        "openai_responses",
        [delta("Hel"), delta("lo"), done("Hello"), completed("Hello")],
        "Hello",
    ),
    "in two parts, and again": (
        "openai_responses",
        [delta("Hel"), done("Hel"), delta("lo"), done("lo"), completed("Hel", "lo")],
        "Hello",
    ),
    "a part at its end": ("openai_responses", [done("Hello"), completed("Hello")], "Hello"),
    "a part at its end, and no more": ("openai_responses", [done("Hello"), completed()], "Hello"),
    "at the end": ("openai_responses", [completed("Hello")], "Hello"),
    "the rest at the end": ("openai_responses", [delta("Hel"), completed("Hello")], "Hello"),
    "with other blanks": ("openai_responses", [delta("Hello\n"), completed("Hello")], "Hello\n"),
    "another one at the end": ("openai_responses", [delta("Hel"), completed("Goodbye")], None),
    "at the beginning of a block": ("anthropic_messages", blocks("Hel", "lo"), "Hello"),
    "as a completion in a chat": ("openai_chat", chat("Hello"), "Hello"),
}


@pytest.mark.parametrize("where", ANSWERS)
def test_no_text_of_an_answer_is_lost(where: str) -> None:
    dialect, events, text = ANSWERS[where]

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/models":
            return httpx.Response(200, json={"data": [{"id": "m"}]})
        streamed = "".join(f"data: {json.dumps(each)}\n\n" for each in events)
        return httpx.Response(200, text=streamed, headers={"content-type": "text/event-stream"})

    adapter = RemoteAdapter(base_url="http://host", dialect=dialect, probe=False, transport=httpx.MockTransport(answer))
    with Session(adapter, Chain.of("provider"), seed=1) as session:
        if text is None:
            with pytest.raises(ProviderError, match="repeated its text at the end, and it is another one"):
                session.generate(TALK, max_tokens=20)
        else:
            result = session.generate(TALK, max_tokens=20)
            assert (result.text, result.finish_reason) == (text, "stop")
