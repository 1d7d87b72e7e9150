"""What servers do to their streams: the tokens stay, and a quirk does not cost a request for each of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

import decodekit
from decodekit import Session
from decodekit_remote import RemoteAdapter
from tests.adapters.remote.servers import TableServer, TalkingTokenizer, serving

TALK: Any = [{"role": "user", "content": "what sat on the"}]
USAGE = {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}


QUIRKS: dict[str, Any] = {
    "none": lambda events: events,
    "no choices at first": lambda events: [{"choices": []}, *events],
    "usage at the end": lambda events: [*events, {"choices": [], "usage": USAGE}],
    "choices that are null": lambda events: [{"choices": None}, *events],
    "a chunk without choices": lambda events: [events[0], {"usage": USAGE}, *events[1:]],
    "a delta that is null": lambda events: [
        {"choices": [{"index": 0, "delta": None, "finish_reason": None, "logprobs": None}]},
        *events,
    ],
    "data that is null": lambda events: [events[0], None, *events[1:]],
    "no logprobs in the first": lambda events: [
        {"choices": [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": None, "logprobs": {"content": []}}]},
        *events,
    ],
    "a chunk that only reasons": lambda events: [
        {"choices": [{"index": 0, "delta": {"reasoning_content": "hm"}, "finish_reason": None, "logprobs": None}]},
        *events,
    ],
    "a second end": lambda events: [*events, events[-1]],
}
WRITTEN: dict[str, Any] = {
    "plain": lambda texts: b"".join(b"data: %b\n\n" % text for text in texts) + b"data: [DONE]\n\n",
    "CRLF": lambda texts: b"".join(b"data: %b\r\n\r\n" % text for text in texts) + b"data: [DONE]\r\n\r\n",
    "no space": lambda texts: b"".join(b"data:%b\n\n" % text for text in texts) + b"data:[DONE]\n\n",
    "comments": lambda texts: b"".join(b": ping\n\ndata: %b\n\n" % text for text in texts) + b"data: [DONE]\n\n",
    "fields": lambda texts: b"".join(b"id: 1\nevent: x\nretry: 9\ndata: %b\n\n" % text for text in texts),
    "no mark": lambda texts: b"".join(b"data: %b\n\n" % text for text in texts),
}


def generated(server: TableServer) -> tuple[tuple[int, ...], int]:
    """The tokens of a greedy chain, which follows its streams; and how many streams that took."""
    adapter = RemoteAdapter(
        base_url=server.url, dialect="openai_chat", probe=False, tokenizer=TalkingTokenizer(), draft="stream",
        prefill="last_message",
    )  # fmt: skip
    with Session(adapter, decodekit.Chain(sampler="greedy"), on_undisclosed="truncate") as session:
        tokens = session.generate(TALK, max_tokens=24).token_ids
    return tokens, sum(bool(body["stream"]) for body in server.asked("/v1/chat/completions"))


@pytest.mark.parametrize("quirk", [*QUIRKS, *WRITTEN])
def test_a_quirk_changes_no_token_and_costs_no_request(quirk: str) -> None:
    with serving("openai_chat") as server:
        server.prefill = "last_message"
        expected = generated(server)
    assert expected[1] == 1
    with serving("openai_chat") as server:
        server.prefill = "last_message"
        plain = server.pieces

        def pieces(path: str, body: Any) -> Iterator[bytes]:
            if body is None or not body["stream"]:
                yield from plain(path, body)
                return
            texts = [json.dumps(each).encode() for each in QUIRKS.get(quirk, QUIRKS["none"])(server.answer(path, body))]
            stream = WRITTEN.get(quirk, WRITTEN["plain"])(texts)
            head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {len(stream)}\r\n\r\n"
            yield head.encode() + stream

        server.pieces = pieces  # type: ignore[method-assign]
        assert generated(server) == expected
