"""Connections that break off: what came whole is kept, the rest is asked for again, and no token changes."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

import decodekit
from decodekit import Distribution, Session
from decodekit.errors import ProviderError
from decodekit_remote.transport import Transport
from tests.adapters.remote.faults import PREFIX, always, asked, cut, first, remote
from tests.adapters.remote.servers import TableServer, serving


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
        first = response.index(b"\n\n", response.index(b"\r\n\r\n") + 4) + 2  # where the first event ends
        for at in range(len(response)):
            server.fault = always(cut(at))
            for _ in range(10):  # a spare connection is cut too, and may be used for the request before that is seen
                events, complete = await received(transport)
                if events or at < first:
                    break
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
