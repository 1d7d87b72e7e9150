"""Answers that are too slow, too long, too large in memory, or strangely divided."""

from __future__ import annotations

import asyncio
import gzip
import socket
import time
import tracemalloc
from contextlib import nullcontext

import pytest

from decodekit import Distribution
from decodekit.errors import ProviderError
from decodekit_remote.body import MOST_OBJECTS, PER_ENTRY, Refusal, parsed
from decodekit_remote.dialect import Request, entries_of
from decodekit_remote.transport import Transport
from tests.adapters.remote.faults import always, asked, closing, events, remote, sending
from tests.adapters.remote.servers import Answer, TableServer, serving


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
            asyncio.run(closing(Transport(server.url, max_body=1 << 20), lambda each: each.ask("/x")))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 16 << 20  # it is unpacked a bounded piece at a time


@pytest.mark.parametrize("unit", ["[],", "{},", '{"a":[]},', '"ab",', "1.5,", "0,", '"\\ud83d\\ude00",'])
def test_a_body_that_parses_into_much_more_is_refused_before_it_is_parsed(unit: str) -> None:
    """12 MB of empty lists take 270 MiB as objects; refused, they take no more than their bytes."""
    body = ("[" + unit * (12_000_000 // len(unit)) + "0]").encode()
    packed = gzip.compress(body, 1)
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {len(packed)}\r\n\r\n".encode()
    with serving() as server:
        server.fault = always(sending(head + packed))
        tracemalloc.start()
        with pytest.raises(ProviderError, match="parts would take more than 64 MiB"):
            asyncio.run(closing(Transport(server.url), lambda each: each.ask("/x")))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < len(body) + len(packed) + (16 << 20)


@pytest.mark.parametrize("vocabulary", [32_000, 262_144])
def test_a_whole_vocabulary_that_was_asked_for_is_read(vocabulary: int) -> None:
    """llama-server's lists, which are the longest there are; as a short answer they would be refused."""
    entry = '{"id":262143,"token":" caf\u00e9s","bytes":[32,99,97,102,195,169,115],"logprob":-12.345678}'
    body = f"[{','.join([entry] * vocabulary)}]".encode()
    asked = Request(((1, 2),), top=1, everything=True)
    assert len(parsed(body, MOST_OBJECTS + PER_ENTRY * entries_of(asked, vocabulary))) == vocabulary
    with pytest.raises(Refusal) if vocabulary > 100_000 else nullcontext():
        parsed(body)


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
            asyncio.run(closing(Transport(server.url, max_line=1_000_000), read))
        server.fault = always(endless("application/json"))
        with pytest.raises(ProviderError, match="more than 2,000,000 bytes"):
            asyncio.run(closing(Transport(server.url, max_body=2_000_000), lambda each: each.ask("/x")))


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
        assert asyncio.run(closing(Transport(server.url), events)) == [SEPARATED, "end"]


def test_json_lines_end_at_line_feeds_and_nowhere_else() -> None:
    body = f'"{SEPARATED}"\r\n\n"end"\n"never whole"'.encode()
    with serving() as server:
        server.fault = always(
            sending(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\n\r\n" + body, stay=False)
        )
        assert asyncio.run(closing(Transport(server.url), events)) == [SEPARATED, "end"]
