"""No server, event loops, the pool, clients of the user's: nothing hangs and nothing is left behind."""

from __future__ import annotations

import asyncio
import socket
import time
from dataclasses import replace
from typing import Any

import httpx
import pytest

import decodekit
from decodekit import Distribution, Prefix, Session
from decodekit.errors import AdapterError, ParameterError, ProviderError
from decodekit_remote import RemoteAdapter
from decodekit_remote.dialects.llama_server import LlamaServerDialect
from tests.adapters.remote.faults import PREFIX, always, asked, remote, sending
from tests.adapters.remote.servers import TableServer, respond, serving


def test_a_dead_server_is_told_of_within_five_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    begun = time.monotonic()
    with pytest.raises(ProviderError, match="cannot be reached"):
        decodekit.adapter("remote", base_url=f"http://127.0.0.1:{port}").info  # noqa: B018 - it meets the server
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
        with pytest.raises(ProviderError, match="matches none of the dialects"):
            asyncio.run(RemoteAdapter(base_url=server.url).connect())


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
        one_by_one = LlamaServerDialect()
        one_by_one.capabilities = replace(LlamaServerDialect.capabilities, batch=False)
        adapter = remote(server, concurrency=4, dialect=one_by_one)
        prefixes = [Prefix([*b"the ", i]) for i in range(24)]
        answers = asked(adapter, *prefixes)
        assert all(isinstance(answer, Distribution) for answer in answers)
        assert server.connections <= 4


def test_one_adapter_serves_one_session_after_another() -> None:
    with serving() as server:
        adapter = remote(server, top=257)
        ids = []
        for _ in range(3):  # each has an event loop of its own
            with Session(adapter, decodekit.Chain(), seed=1) as session:
                ids.append(session.generate(PREFIX, max_tokens=3).token_ids)
        assert ids == [ids[0]] * 3 and len(ids[0]) == 3


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
def test_a_client_that_is_none_is_named(kind: str) -> None:
    with pytest.raises(ParameterError, match=f"^{kind}: it is str, and must be an httpx.Async"):
        RemoteAdapter(base_url="http://127.0.0.1:9", **{kind: "x"})
    for make, says in (
        (lambda: 1 / 0, "its function raised ZeroDivisionError: division by zero"),
        (httpx.Client, "its function made Client, and must be an httpx.Async"),
        (lambda: None, "its function made NoneType, and must be an httpx.Async"),
    ):
        with pytest.raises(ParameterError, match=f"^{kind}: {says}"):
            RemoteAdapter(base_url="http://127.0.0.1:9", **{kind: make}).info  # noqa: B018 - it makes one


@pytest.mark.parametrize("kind", ["client", "transport"])
def test_a_function_makes_a_client_for_each_event_loop(kind: str) -> None:
    """Every session that stands alone has a loop, which the probe and the server's tokenizer share."""
    made: list[Any] = []

    def make() -> Any:
        made.append(httpx.AsyncClient() if kind == "client" else httpx.AsyncHTTPTransport())
        return made[-1]

    with serving() as server:
        adapter = RemoteAdapter(base_url=server.url, draft=1, **{kind: make})
        for _ in range(3):
            with Session(adapter, decodekit.Chain(), seed=1) as session:
                assert len(session.generate("the cat ", max_tokens=3).token_ids) == 3
        assert adapter.capabilities["known"] == "seen in a probe"
        assert len(made) == 3 and len(set(map(id, made))) == 3  # one for each session, and none beside
        if kind == "client":
            assert all(client.is_closed for client in made)

        async def running() -> Any:  # what is asked within a running loop is asked there
            adapter = RemoteAdapter(base_url=server.url, **{kind: make})
            (answer,) = await adapter.apredict([PREFIX])
            await adapter.aclose()
            return answer

        assert isinstance(asyncio.run(running()), Distribution) and len(made) == 4


@pytest.mark.parametrize("kind", ["client", "transport"])
def test_a_client_that_is_an_object_stays_in_its_event_loop(kind: str) -> None:
    def make() -> dict[str, Any]:
        none_stay = httpx.Limits(max_keepalive_connections=0)  # nothing could close them: the session's loop has ended
        return {kind: {"client": httpx.AsyncClient, "transport": httpx.AsyncHTTPTransport}[kind](limits=none_stay)}

    with serving() as server:
        adapter = RemoteAdapter(base_url=server.url, top=257, **make())  # the probe goes through it as well
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
