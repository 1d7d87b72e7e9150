"""A server whose tokens are texts: what cannot be asked of it says why; `auto` finds completions without logprobs."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("httpx")

import httpx

from decodekit import Session
from decodekit.analysis import score
from decodekit.errors import ParameterError
from decodekit_remote import RemoteAdapter
from tests.adapters.remote.scripted import chunk, entry, generated, playing


def completing(request: Any) -> Any:
    """``/v1/completions`` without logprobs, and no route for chats."""
    if request.url.path == "/v1/models":
        return httpx.Response(200, json={"data": [{"id": "m"}]})
    if request.url.path != "/v1/completions":
        return httpx.Response(404, json={"detail": "Not Found"})
    answer = {"model": "m", "choices": [{"index": 0, "text": " Paris", "finish_reason": "stop"}]}
    if not json.loads(request.content).get("stream"):
        return httpx.Response(200, json=answer)
    text = f"data: {json.dumps(answer)}\n\ndata: [DONE]\n\n"
    return httpx.Response(200, text=text, headers={"content-type": "text/event-stream"})


def test_auto_lets_completions_without_logprobs_be_drawn_by_the_server(caplog: Any) -> None:
    adapter = RemoteAdapter(base_url="http://api", transport=httpx.MockTransport(completing), attempts=1)
    with Session(adapter, "temperature=0.8") as session:
        result = session.generate("The capital of France is", max_tokens=4)
    assert result.text == " Paris" and "drawn by the provider" in repr(result)
    assert sum("the provider draws" in record.getMessage() for record in caplog.records) == 1


def test_a_stop_id_that_no_token_can_have_is_refused() -> None:
    with playing([chunk("a", [entry("a")]), chunk("", None, "stop")]) as server:
        with pytest.raises(ParameterError, match=r"stop_ids: token id 3 is the hash of no text seen here.*stop="):
            generated(server, stop_ids=[3])
        token = generated(server).token_ids[0]
        with Session(server.adapter(), "provider") as session:
            session.generate([{"role": "user", "content": "hi"}])
            assert session.generate([{"role": "user", "content": "hi"}], stop_ids=[token]).token_ids == (token,)


def test_a_whole_text_is_not_scored_as_one_token() -> None:
    adapter = RemoteAdapter(base_url="http://api", transport=httpx.MockTransport(completing), probe=False, attempts=1)
    with Session(adapter) as session, pytest.raises(ParameterError, match=r"its tokens are not known.*tokenizer="):
        score(session.adapter, "Paris is in France")
