"""Refusals and answers that are none: typed errors in the server's own words, repeated only where that may help."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from typing import Any

import pytest

import decodekit
from decodekit import Distribution, Prefix, Session
from decodekit.errors import DecodekitError, ProviderError
from decodekit_remote.refusals import refusal, retry_after
from decodekit_remote.transport import Transport
from tests.adapters.remote.faults import PREFIX, always, asked, closing, first, remote, sending
from tests.adapters.remote.servers import Answer, respond, serving


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 529])
def test_a_passing_refusal_is_waited_out(status: int) -> None:
    with serving() as server:
        server.fault = first(2, sending(respond(status, {"error": {"message": "busy"}}, "retry-after-ms: 20")))
        (answer,) = asked(remote(server))
        assert isinstance(answer, Distribution) and len(server.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 422, 501])
def test_a_lasting_refusal_is_not_repeated(status: int) -> None:
    with serving() as server:
        server.fault = always(sending(respond(status, {"error": {"message": "no, and that is final"}})))
        (answer,) = asked(remote(server))
        assert isinstance(answer, ProviderError) and "no, and that is final" in str(answer)
        assert len(server.requests) == 1


def test_a_storm_ends_with_the_attempts_and_no_question_comes_before_its_time() -> None:
    with serving() as server:
        times: list[float] = []

        def refuse(number: int, path: str) -> Answer:
            times.append(time.monotonic())
            return sending(respond(429, {"error": {"message": "slow down"}}, "retry-after: 0.3"))

        server.fault = refuse
        (answer,) = asked(remote(server, attempts=3))
        assert isinstance(answer, ProviderError) and "slow down" in str(answer)
        assert len(times) == 3 and all(later - earlier >= 0.3 for earlier, later in pairwise(times))


def test_retry_after_is_seconds_milliseconds_or_a_date_and_has_a_cap() -> None:
    assert retry_after({"retry-after": "1.5"}) == 1.5
    assert retry_after({"retry-after-ms": "250", "retry-after": "9"}) == 0.25
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 27 < (retry_after({"retry-after": soon}) or 0) <= 30
    for nonsense in ("soon", "nan", "inf", ""):
        assert retry_after({"retry-after": nonsense}) is None
    error = refusal("there", 429, {"retry-after": "3600"}, b"")
    assert not error.again and "3600 s" in str(error)  # type: ignore[attr-defined]
    spent = refusal(
        "there", 429, {}, b'{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}'
    )
    assert not spent.again  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"HTTP/1.1 200 X\r\ncontent-type: text/html\r\ncontent-length: 8\r\n\r\n<html>hi", "not JSON: '<html>hi"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]", "0 replies"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n42", "shape"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnull", "shape"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n" + b"[" * 60000, "not JSON"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 2\r\n\r\n{}", "compressed"),
        (b"HTTP/1.1 302 Found\r\nlocation: http://elsewhere/\r\ncontent-length: 0\r\n\r\n", "redirects are not"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "broke off"),
        (b'HTTP/1.1 200 OK\r\ncontent-length: 40\r\n\r\n{"tokens":[1],"completion_probabilities":', "not JSON"),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_a_typed_error(body: bytes, words: str) -> None:
    with serving() as server:
        server.fault = always(sending(body, stay=False))
        (answer,) = asked(remote(server, attempts=1))
        assert isinstance(answer, ProviderError) and words in str(answer)


def test_an_error_in_mid_stream_is_the_servers_own_words() -> None:
    async def read(transport: Transport) -> None:
        async for _ in transport.events("/x", {}):
            pass

    body = b'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {"error":{"message":"out of cells"}}\n\n'
    with serving() as server:
        server.fault = always(sending(body, stay=False))
        with pytest.raises(ProviderError, match="out of cells"):
            asyncio.run(closing(Transport(server.url), read))


def test_a_server_that_sends_one_list_for_all_positions_is_found_out() -> None:
    with serving() as server:
        row = server.row(b"the")
        server.row = lambda _: row  # type: ignore[method-assign,assignment]
        (answer,) = asked(remote(server, draft=4))
        assert isinstance(answer, DecodekitError) and "the same list for two positions" in str(answer)


def test_a_model_swapped_in_mid_run_is_noticed_and_nothing_is_lost() -> None:
    with serving("vllm") as server:
        adapter = remote(server, top=257)

        def swap(step: Any) -> bool:
            server.name = "table" if step.index < 3 else "another"
            return False

        with (
            Session(adapter, decodekit.Chain(), seed=1, on_undisclosed="truncate") as session,
            pytest.raises(ProviderError, match="was changed") as caught,
        ):
            session.generate(PREFIX, max_tokens=10, until=swap)
        assert caught.value.partial is not None and len(caught.value.partial.token_ids) == 4  # type: ignore[union-attr]


def test_a_bad_prompt_in_a_batch_ends_alone() -> None:
    with serving("vllm", context=64) as server:
        good, bad, long = Prefix(b"the cat"), Prefix([999]), Prefix([100] * 64)
        answers = asked(remote(server, tokenizer=None), good, bad, long, Prefix(b"a dog"))
        assert isinstance(answers[0], Distribution) and isinstance(answers[3], Distribution)
        assert "invalid tokens" in str(answers[1]) and "context size" in str(answers[2])
