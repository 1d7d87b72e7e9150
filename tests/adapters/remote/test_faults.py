"""A server that misbehaves: every fault is a typed error within the deadline, or the answer after another question."""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
import time
import traceback
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from typing import Any

import httpx
import pytest

import decodekit
from decodekit import Distribution, Prefix, Session
from decodekit.errors import AdapterError, ConfigError, DecodekitError, ParameterError, ProviderError
from decodekit.testing import BytesTokenizer
from decodekit_remote import RemoteAdapter
from decodekit_remote.dialects.llama_server import LlamaServer
from decodekit_remote.draft_length import DraftLength
from decodekit_remote.refusals import refusal, retry_after
from decodekit_remote.transport import Transport
from tests.adapters.remote.servers import Answer, TableServer, respond, serving

PREFIX = Prefix(b"the cat ")
KEY = "sk-canary-0123456789"


def remote(server: TableServer, **params: Any) -> RemoteAdapter:
    settings = {"dialect": server.dialect, "probe": False, "tokenizer": BytesTokenizer(), "draft": 1, **params}
    return RemoteAdapter(base_url=server.url, **settings)


def asked(adapter: RemoteAdapter, *prefixes: Prefix) -> list[Any]:
    async def ask() -> list[Any]:
        try:
            return await adapter.apredict(prefixes or (PREFIX,))
        finally:
            await adapter.aclose()

    return asyncio.run(ask())


def sending(data: bytes, *, stay: bool = True) -> Answer:
    def send(server: TableServer, connection: socket.socket, response: bytes) -> bool:
        connection.sendall(data)
        return stay

    return send


def first(count: int, answer: Answer) -> Callable[[int, str], Answer | None]:
    return lambda number, _: answer if number <= count else None


def always(answer: Answer) -> Callable[[int, str], Answer | None]:
    return lambda *_: answer


def cut(at: int) -> Answer:
    def send(server: TableServer, connection: socket.socket, response: bytes) -> bool:
        connection.sendall(response[:at])
        return False

    return send


# -- broken off -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", ["llama_server", "vllm"])
def test_a_stream_cut_at_every_byte_gives_what_came_whole_and_is_never_called_complete(dialect: str) -> None:
    path = {"llama_server": "/completion", "vllm": "/v1/completions"}[dialect]
    body = {"prompt": list(b"the cat "), "stream": True, "n_predict": 3, "n_probs": 2, "max_tokens": 3, "logprobs": 2}
    body["temperature"] = 0

    async def received(transport: Transport) -> tuple[list[Any], bool]:
        events = []
        try:
            async for event in transport.events(path, body):
                events.append(event)  # noqa: PERF401 - what came before the error counts
        except ProviderError:
            return events, False
        return events, True

    async def cut_everywhere(server: TableServer) -> None:
        transport = Transport(server.url)
        whole, complete = await received(transport)
        assert complete and len(whole) >= 3
        response = b"".join(server.pieces(path, body))
        mark = response.find(b"[DONE]\n\n")  # a server-sent event is whole with the blank line that ends it
        for at in range(len(response)):
            server.fault = always(cut(at))
            events, complete = await received(transport)
            assert events == whole[: len(events)], f"cut at byte {at}"
            assert complete == (0 <= mark < at - len(b"[DONE]\n")), f"cut at byte {at}"
        await transport.aclose()

    with serving(dialect) as server:
        asyncio.run(cut_everywhere(server))


@pytest.mark.parametrize("dialect", ["llama_server", "vllm"])
def test_a_stream_that_was_cut_changes_no_token(dialect: str) -> None:
    chain = decodekit.Chain([decodekit.processor("temperature", temperature=0.5)])
    with serving(dialect, context=13) as server:

        def tokens() -> tuple[int, ...]:
            adapter = remote(server, draft="stream", top=2)
            with Session(adapter, chain, seed=3, on_undisclosed="truncate") as session:
                return session.generate(PREFIX, max_tokens=4).token_ids

        whole = tokens()
        for at in range(0, 1500, 61):
            server.requests.clear()
            server.fault = first(1, cut(at))
            assert tokens() == whole, f"cut at byte {at}"


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9])
def test_a_body_cut_short_is_asked_for_again(share: float) -> None:
    with serving() as server:

        def part(server: TableServer, connection: socket.socket, response: bytes) -> bool:
            connection.sendall(response[: int(len(response) * share)])
            return False

        server.fault = first(2, part)
        (answer,) = asked(remote(server))
        assert isinstance(answer, Distribution) and len(server.requests) == 3
        server.fault = always(part)
        (answer,) = asked(remote(server, attempts=2))
        assert isinstance(answer, ProviderError) and "broke off" in str(answer)


def test_a_connection_closed_after_a_stream_is_opened_again() -> None:
    def then_close(server: TableServer, connection: socket.socket, response: bytes) -> bool:
        connection.sendall(response)
        return False

    with serving() as server:
        server.fault = always(then_close)
        adapter = remote(server, draft="stream")
        with Session(adapter, decodekit.Chain(), seed=1, on_undisclosed="truncate") as session:
            assert len(session.generate(PREFIX, max_tokens=12).token_ids) == 12


# -- too slow, too much ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("draft", [1, "stream"])
def test_a_slow_drip_ends_at_the_deadline(draft: int | str) -> None:
    def drip(server: TableServer, connection: socket.socket, response: bytes) -> bool:
        for byte in response:
            connection.sendall(bytes([byte]))
            time.sleep(0.02)
        return True

    with serving() as server:
        server.fault = always(drip)
        begun = time.monotonic()
        (answer,) = asked(remote(server, deadline=0.5, draft=draft))
        assert isinstance(answer, ProviderError) and "0.5 s" in str(answer)
        assert time.monotonic() - begun < 1.5


def test_a_gzip_bomb_is_refused_at_the_cap() -> None:
    bomb = gzip.compress(bytes(200 << 20))
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {len(bomb)}\r\n\r\n".encode()
    with serving() as server:
        server.fault = always(sending(head + bomb))
        (answer,) = asked(remote(server, attempts=1))
        assert isinstance(answer, ProviderError) and "67,108,864 bytes" in str(answer)
        tracemalloc.start()
        with pytest.raises(ProviderError, match="more than 1,048,576 bytes"):
            asyncio.run(_closing(Transport(server.url, max_body=1 << 20), lambda each: each.ask("/x")))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 16 << 20  # it is unpacked a bounded piece at a time


def test_an_answer_that_was_compressed_unasked_is_read() -> None:
    with serving() as server:

        def packed(server: TableServer, connection: socket.socket, response: bytes) -> bool:
            body = gzip.compress(response.partition(b"\r\n\r\n")[2])
            head = f"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            connection.sendall(head + body)
            return True

        server.fault = always(packed)
        (answer,) = asked(remote(server))
        assert isinstance(answer, Distribution)
        assert server.requests[0][1]["accept-encoding"] == "identity"


def test_a_line_without_end_and_a_body_without_end_are_refused() -> None:
    async def read(transport: Transport) -> None:
        async for _ in transport.events("/completion", {"prompt": [1], "n_predict": 1, "n_probs": 1}):
            pass

    def endless(kind: str) -> Answer:
        def send(server: TableServer, connection: socket.socket, response: bytes) -> bool:
            connection.sendall(f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n\r\ndata: ".encode())
            while True:
                connection.sendall(b"x" * 65536)

        return send

    with serving() as server:
        server.fault = always(endless("text/event-stream"))
        with pytest.raises(ProviderError, match="a line of more than 1,000,000 bytes"):
            asyncio.run(_closing(Transport(server.url, max_line=1_000_000), read))
        server.fault = always(endless("application/json"))
        with pytest.raises(ProviderError, match="more than 2,000,000 bytes"):
            asyncio.run(_closing(Transport(server.url, max_body=2_000_000), lambda each: each.ask("/x")))


async def _closing(transport: Transport, work: Callable[[Transport], Any]) -> Any:
    try:
        return await work(transport)
    finally:
        await transport.aclose()


SEPARATED = "a\u2028b\u2029c\u0085d"  # characters that end lines for Python, and stand in JSON as they are


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("at_once", [True, False])
def test_events_end_as_the_standard_says_and_nowhere_else(end: str, at_once: bool) -> None:
    lines = [
        ": a comment",
        "event: token",
        "id: 7",
        f'data:"{SEPARATED}"',
        "",
        'data: "end"',
        "",
        "",
        "data: [DONE]",
        "",
    ]
    body = "".join(line + end for line in lines).encode()

    def send(server: TableServer, connection: socket.socket, response: bytes) -> bool:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        for at in range(0, len(body), len(body) if at_once else 1):
            connection.sendall(body[at : at + (len(body) if at_once else 1)])
            time.sleep(0 if at_once else 0.0005)
        return False

    with serving() as server:
        server.fault = always(send)
        assert asyncio.run(_closing(Transport(server.url), _events)) == [SEPARATED, "end"]


def test_json_lines_end_at_line_feeds_and_nowhere_else() -> None:
    body = f'"{SEPARATED}"\r\n\n"end"\n"never whole"'.encode()
    with serving() as server:
        server.fault = always(
            sending(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\n\r\n" + body, stay=False)
        )
        assert asyncio.run(_closing(Transport(server.url), _events)) == [SEPARATED, "end"]


async def _events(transport: Transport) -> list[Any]:
    return [event async for event in transport.events("/x", {})]


# -- refusals -------------------------------------------------------------------------------------------------------


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
            asyncio.run(_closing(Transport(server.url), read))


def test_a_server_that_sends_one_list_for_all_positions_is_found_out() -> None:
    with serving() as server:
        row = server.row(b"the")
        server.row = lambda _: row  # type: ignore[method-assign,assignment]
        (answer,) = asked(remote(server, draft=4))
        assert isinstance(answer, DecodekitError) and "one list for two positions" in str(answer)


def test_a_model_swapped_in_mid_run_is_noticed_and_nothing_is_lost() -> None:
    with serving("vllm") as server:
        adapter = remote(server, top=257)

        def swap(step: Any) -> bool:
            server.name = "table" if step.index < 3 else "another"
            return False

        with (
            Session(adapter, decodekit.Chain(), seed=1, on_undisclosed="truncate") as session,
            pytest.raises(ProviderError, match="swapped") as caught,
        ):
            session.generate(PREFIX, max_tokens=10, until=swap)
        assert caught.value.partial is not None and len(caught.value.partial.token_ids) == 4  # type: ignore[union-attr]


def test_a_bad_prompt_in_a_batch_ends_alone() -> None:
    with serving("vllm", context=64) as server:
        good, bad, long = Prefix(b"the cat"), Prefix([999]), Prefix([100] * 64)
        answers = asked(remote(server, tokenizer=None), good, bad, long, Prefix(b"a dog"))
        assert isinstance(answers[0], Distribution) and isinstance(answers[3], Distribution)
        assert "invalid tokens" in str(answers[1]) and "context size" in str(answers[2])


# -- no server ------------------------------------------------------------------------------------------------------


def test_a_dead_server_is_told_of_within_five_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    begun = time.monotonic()
    with pytest.raises(ProviderError, match="cannot be reached"):
        decodekit.adapter("remote", base_url=f"http://127.0.0.1:{port}")
    assert time.monotonic() - begun < 5


def test_a_server_without_tls_asked_for_tls_is_not_asked_twice() -> None:
    with serving() as server:
        adapter = RemoteAdapter(base_url=server.url.replace("http", "https"), dialect="llama_server", probe=False)
        (answer,) = asked(adapter)
        assert isinstance(answer, ProviderError) and "cannot be reached" in str(answer)
        assert server.connections == 1


def test_a_server_of_another_kind_is_told_of() -> None:
    with serving() as server:
        server.fault = always(sending(respond(404, {"detail": "Not Found"})))
        with pytest.raises(ProviderError, match="speaks none of the dialects"):
            RemoteAdapter(base_url=server.url)


# -- the pool -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("draft", [1, "stream"])
@pytest.mark.parametrize("concurrency", [1, 2])
def test_a_cancellation_at_any_await_loses_no_place(concurrency: int, draft: int | str) -> None:
    async def enumerate_awaits(server: TableServer) -> int:
        adapter = remote(server, concurrency=concurrency, draft=draft, deadline=5.0)
        cancelled = 0
        for turns in range(45):
            prefix = Prefix([*b"the cat", turns])
            task = asyncio.create_task(adapter.apredict([prefix]))
            for _ in range(turns):
                await asyncio.sleep(0)
            cancelled += not task.done()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            (answer,) = await asyncio.wait_for(adapter.apredict([Prefix([*b"a dog", turns])]), 5)
            assert isinstance(answer, Distribution), f"after a cancellation at turn {turns}: {answer!r}"
        await adapter.aclose()
        return cancelled

    with serving(context=20) as server:
        assert asyncio.run(enumerate_awaits(server)) > 10  # how many turns an answer takes is the kernel's affair


def test_many_sequences_share_a_bounded_number_of_connections() -> None:
    with serving(delay=0.005) as server:
        one_by_one = LlamaServer()
        one_by_one.capabilities = replace(LlamaServer.capabilities, batch=False)
        adapter = remote(server, concurrency=4, dialect=one_by_one)
        prefixes = [Prefix([*b"the ", i]) for i in range(24)]
        answers = asked(adapter, *prefixes)
        assert all(isinstance(answer, Distribution) for answer in answers)
        assert server.connections <= 4


def test_one_adapter_serves_one_session_after_another() -> None:
    with serving() as server:
        adapter = remote(server, top=257)
        for _ in range(3):  # each has an event loop of its own
            with Session(adapter, decodekit.Chain(), seed=1) as session:
                session.generate(PREFIX, max_tokens=3)


def test_a_client_of_the_users_is_used_and_left_open() -> None:
    async def run(server: TableServer) -> httpx.AsyncClient:
        client = httpx.AsyncClient(headers={"x-mine": "yes"})
        adapter = remote(server, client=client)
        (answer,) = await adapter.apredict([PREFIX])
        assert isinstance(answer, Distribution)
        await adapter.aclose()
        assert not client.is_closed
        await client.aclose()
        return client

    with serving() as server:
        asyncio.run(run(server))
        assert server.requests[-1][1]["x-mine"] == "yes"


@pytest.mark.parametrize("kind", ["client", "transport"])
def test_a_function_makes_a_client_for_each_event_loop(kind: str) -> None:
    """The probe, a tokenizer's question and every session have a loop of their own."""
    made: list[Any] = []

    def make() -> Any:
        made.append(httpx.AsyncClient() if kind == "client" else httpx.AsyncHTTPTransport())
        return made[-1]

    with serving() as server:
        adapter = RemoteAdapter(base_url=server.url, draft=1, **{kind: make})
        assert adapter.capabilities["known"] == "seen in a probe" and adapter.tokenizer is not None
        for _ in range(3):
            with Session(adapter, decodekit.Chain(), seed=1) as session:
                assert len(session.generate("the cat ", max_tokens=3).token_ids) == 3
        assert len(made) >= 5 and len(set(map(id, made))) == len(made)
        if kind == "client":
            assert all(client.is_closed for client in made)

        async def running() -> Any:  # a probe from within a running loop
            adapter = RemoteAdapter(base_url=server.url, **{kind: make})
            (answer,) = await adapter.apredict([PREFIX])
            await adapter.aclose()
            return answer

        assert isinstance(asyncio.run(running()), Distribution)


@pytest.mark.parametrize("kind", ["client", "transport"])
def test_a_client_that_is_an_object_stays_in_its_event_loop(kind: str) -> None:
    def make() -> dict[str, Any]:
        none_stay = httpx.Limits(max_keepalive_connections=0)  # nobody could close them: the session's loop has ended
        return {kind: {"client": httpx.AsyncClient, "transport": httpx.AsyncHTTPTransport}[kind](limits=none_stay)}

    with serving() as server:
        with pytest.raises(ParameterError, match="give a function that makes one"):
            RemoteAdapter(base_url=server.url, **make())
        assert server.requests == []  # refused before anything went through it
        adapter = remote(server, top=257, **make())
        with Session(adapter, decodekit.Chain(), seed=1) as session:
            assert len(session.generate(PREFIX, max_tokens=3).token_ids) == 3
        with (
            Session(adapter, decodekit.Chain(), seed=1) as session,
            pytest.raises(AdapterError, match="in use in another event loop"),
        ):
            session.generate(Prefix(b"a dog"), max_tokens=3)


def test_a_closed_adapter_says_so() -> None:
    async def run(server: TableServer) -> None:
        adapter = remote(server)
        await adapter.aclose()
        await adapter.aclose()
        with pytest.raises(AdapterError, match="closed"):
            await adapter.apredict([PREFIX])

    with serving() as server:
        asyncio.run(run(server))


# -- secrets --------------------------------------------------------------------------------------------------------


def test_a_key_is_in_no_error_log_trace_repr_or_url(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Any
) -> None:
    monkeypatch.setenv("TABLE_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    seen: list[str] = []
    with serving("vllm") as server:
        adapter = remote(server, api_key_env="TABLE_KEY", top=257)
        with Session(adapter, decodekit.Chain(), seed=1, on_undisclosed="truncate") as session:
            session.generate(PREFIX, max_tokens=3, trace=tmp_path / "trace.jsonl", level="full")
        assert server.requests[0][1]["authorization"] == f"Bearer {KEY}"
        seen += [
            (tmp_path / "trace.jsonl").read_text(),
            repr(adapter),
            str(adapter.info),
            str(vars(adapter._transport)),
        ]
        seen += [path for path, _, _ in server.requests]
        for status in (400, 401, 429, 500, 302):
            told = respond(status, {"error": {"message": f"Incorrect API key provided: {KEY}"}}, "retry-after-ms: 1")
            server.fault = always(sending(told))
            (answer,) = asked(remote(server, api_key_env="TABLE_KEY", attempts=2))
            seen += ["".join(traceback.format_exception(answer)), repr(answer), str(answer)]
            assert "[key]" in str(answer)
        server.fault = always(sending(b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n" + KEY.encode()))
        seen.append(str(asked(remote(server, api_key_env="TABLE_KEY"))))
    seen += [record.getMessage() + str(vars(record)) for record in caplog.records]
    assert caplog.records and all(KEY not in text for text in seen)


def test_a_key_goes_to_its_own_origin_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TABLE_KEY", KEY)
    with serving() as server, serving() as other:
        told = f"HTTP/1.1 307 X\r\nlocation: {other.url}/completion\r\ncontent-length: 0\r\n\r\n".encode()
        server.fault = always(sending(told))
        (answer,) = asked(remote(server, api_key_env="TABLE_KEY"))
        assert isinstance(answer, ProviderError) and other.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host",
        "host:80",
        "http://",
        "http://user:pass@host",
        "http://host?key=1",
        "http://host#x",
        "http://h:99999",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_telling_its_secrets(url: str) -> None:
    with pytest.raises(ParameterError, match="base_url") as caught:
        RemoteAdapter(base_url=url, dialect="vllm", probe=False)
    assert "pass" not in str(caught.value).replace("password", "")


def test_keys_come_from_the_environment_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(ConfigError, match="NO_SUCH_KEY is not set"):
        RemoteAdapter(base_url="http://host", dialect="vllm", probe=False, api_key_env="NO_SUCH_KEY")
    monkeypatch.setenv("SPLIT_KEY", "a\r\nhost: evil")
    with pytest.raises(ParameterError, match="header"):
        RemoteAdapter(base_url="http://host", dialect="vllm", probe=False, api_key_env="SPLIT_KEY")
    with pytest.raises(ParameterError, match="api_key_env") as caught:
        decodekit.adapter("remote", base_url="http://host", api_key_env=KEY)
    assert KEY not in str(caught.value)


# -- the draft_length -------------------------------------------------------------------------------------------------------


def test_the_draft_grows_with_the_trip_and_with_acceptance() -> None:
    lengths = {}
    for trip, acceptance in ((0.0, 0.7), (0.05, 0.7), (0.2, 0.7), (0.2, 0.95), (0.2, 0.1)):
        draft_length = DraftLength(acceptance=acceptance)
        for k in (1, 4, 2, 8):
            draft_length.took(k, trip + 0.01 * k)
        assert draft_length.costs == pytest.approx((trip, 0.01))
        lengths[trip, acceptance] = draft_length.length
    assert lengths[0.0, 0.7] == 1
    assert lengths[0.05, 0.7] < lengths[0.2, 0.7] < lengths[0.2, 0.95]
    assert lengths[0.2, 0.1] <= 2
    assert not DraftLength().streams


def test_streams_that_cost_more_than_they_should_are_given_up() -> None:
    draft_length = DraftLength(acceptance=0.9)
    for k in (1, 4, 2, 8):
        draft_length.took(k, 0.05 + 0.01 * k)
    assert draft_length.streams
    for _ in range(3):
        draft_length.followed(9, 3 * (0.05 + 0.09))  # a server that is slow to notice a closed connection
    assert not draft_length.streams
    for _ in range(200):
        draft_length.followed(9, 0.05 + 0.09)
    assert draft_length.streams
