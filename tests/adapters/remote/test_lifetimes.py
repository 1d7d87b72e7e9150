"""When a server is met, in which event loop it is asked, and what is left when sessions go, or a process forks."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import anyio
import httpx
import pytest

import decodekit
from decodekit import Distribution, Session
from decodekit.errors import AdapterError
from decodekit.testing import BytesTokenizer
from decodekit_remote import RemoteAdapter
from tests.adapters.remote.faults import PREFIX, remote
from tests.adapters.remote.servers import Answer, TableServer, serving


def loops() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "decodekit-adapter"]


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_server_is_met_on_first_use_and_not_before() -> None:
    with serving() as server:
        adapter = RemoteAdapter(base_url=server.url)
        assert "auto" in repr(adapter)
        with Session(adapter, decodekit.Chain(sampler="greedy")) as session:
            assert server.connections == 0
            session.generate("the cat ", max_tokens=1)
            met = len(server.requests)
            session.generate("a dog", max_tokens=1)
        assert "llama_server" in repr(adapter) and 0 < met <= len(server.requests) <= met + 4


def test_inside_a_running_loop_everything_is_asked_there() -> None:
    made: list[asyncio.AbstractEventLoop] = []

    def client() -> httpx.AsyncClient:
        made.append(asyncio.get_running_loop())
        return httpx.AsyncClient()

    async def run(server: TableServer) -> bool:
        adapter = RemoteAdapter(base_url=server.url, client=client)
        await asyncio.gather(adapter.connect(), adapter.connect())
        assert adapter.info.vocab_size == 257 and adapter.tokenizer is not None
        (answer,) = await adapter.apredict([PREFIX])
        here = made == [asyncio.get_running_loop()] and not loops()
        ids = await asyncio.to_thread(adapter.tokenizer.encode, "the")  # it blocks, so the loop must stay free
        await adapter.aclose()
        return here and isinstance(answer, Distribution) and ids == [*b"the"]

    with serving() as server:
        assert asyncio.run(run(server))
        assert len(server.asked("/tokenize")) == 5  # one of them is the text's; two who connect at once connect once


@pytest.mark.parametrize("probe", [True, False])
def test_inside_a_running_loop_nothing_waits_for_the_server(probe: bool) -> None:
    """A server in the same loop could not even answer."""

    async def run(url: str) -> None:
        adapter = RemoteAdapter(base_url=url, dialect="llama_server", probe=probe)
        for name in ("info", "tokenizer", "capabilities", "measured"):
            with pytest.raises(AdapterError, match=r"await adapter\.connect\(\) first"):
                getattr(adapter, name)
        assert not loops()
        await adapter.connect()
        assert adapter.info.name == "remote" and adapter.capabilities["dialect"] == "llama_server"
        with Session(adapter, decodekit.Chain(), seed=1) as session:  # in a thread of its own, as everywhere
            assert len((await asyncio.to_thread(session.generate, PREFIX, max_tokens=2)).token_ids) == 2
        await adapter.aclose()

    with serving() as server:
        asyncio.run(run(server.url))
        with Session(RemoteAdapter(base_url=server.url), decodekit.Chain(), seed=1) as session:
            assert session.adapter.info.vocab_size == 257


@pytest.mark.parametrize("draft", [1, "stream"])
def test_sessions_that_are_dropped_leave_nothing(draft: int | str) -> None:
    with serving() as server:
        adapter = remote(server, draft=draft, top=257)
        gc.collect()
        before = descriptors()
        sessions = []
        for seed in range(12):
            sessions.append(Session(adapter, decodekit.Chain(), seed=seed))
            sessions[-1].generate(PREFIX, max_tokens=2)
        (loop,) = loops()  # one for all of them
        sessions.clear()
        gc.collect()
        loop.join(20)
        assert not loop.is_alive()
        with Session(adapter, decodekit.Chain(), seed=1) as session:  # and it serves the next
            assert len(session.generate(PREFIX, max_tokens=2).token_ids) == 2
    assert not loops() and descriptors() <= before + 8  # the server's own ends of some connections


def test_an_adapter_that_is_closed_in_a_cancelled_scope_leaves_no_connection() -> None:
    """Each await of the closing is cancelled again, and it goes on: the stream that runs is not its last one."""
    with serving(pause=0.02) as server:

        async def main() -> None:
            gc.collect()
            before, tasks = descriptors(), asyncio.all_tasks()
            adapter = remote(server, draft="stream", top=5)
            await adapter.apredict([decodekit.Prefix(BytesTokenizer().encode("the cat "))])
            assert adapter.measured["streams"] == 1
            with anyio.CancelScope() as scope:
                scope.cancel()
                await adapter.aclose()
            assert scope.cancelled_caught
            while asyncio.all_tasks() != tasks or descriptors() > before + 8:  # the server's own ends of connections
                await asyncio.sleep(0)

        asyncio.run(asyncio.wait_for(main(), 20))


FORKING = """
import os, select, sys
import decodekit
from decodekit.testing import BytesTokenizer

adapter = decodekit.adapter("remote", base_url=sys.argv[1], tokenizer=None)
session = decodekit.Session(adapter, decodekit.Chain(), seed=5)
first = session.generate("the cat ", max_tokens=6).token_ids
reading, writing = os.pipe()
child = os.fork()
if child == 0:
    again = decodekit.Session(adapter, decodekit.Chain(), seed=5).generate("the cat ", max_tokens=6).token_ids
    os.write(writing, repr((session.generate("the cat ", max_tokens=6).token_ids, again)).encode())
    os._exit(0)
if not select.select([reading], [], [], 60)[0]:
    os.kill(child, 9)
    sys.exit("the child hangs")
assert os.read(reading, 9999) == repr((first, first)).encode()
os.waitpid(child, 0)
assert session.generate("the cat ", max_tokens=6).token_ids == first  # the parent's connections are its own
print("equal")
"""

LEAVING = """
import sys
import decodekit

adapter = decodekit.adapter("remote", base_url=sys.argv[1], draft="stream")
sessions = [decodekit.Session(adapter, decodekit.Chain(), seed=seed) for seed in range(3)]
for session in sessions:
    session.generate("the cat ", max_tokens=3)
other = decodekit.adapter("remote", base_url=sys.argv[1])
print(other.tokenizer.encode("x"))
"""


def run(script: str, url: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-W", "ignore:This process:DeprecationWarning", "-c", script, url]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_has_a_loop_and_connections_of_its_own() -> None:
    with serving() as server:
        done = run(FORKING, server.url)
    assert (done.stdout, done.stderr, done.returncode) == ("equal\n", "", 0)


def test_a_process_that_closes_nothing_ends_without_a_word() -> None:
    with serving() as server:
        done = run(LEAVING, server.url)
    assert (done.stdout, done.stderr, done.returncode) == ("[120]\n", "", 0)


def hanging(after: int, gone: threading.Event) -> Callable[[int, str], Answer | None]:
    """Nothing more is said after so many requests, until the other end is gone."""

    def hang(server: TableServer, connection: socket.socket, response: bytes) -> bool:
        while connection.recv(65536):
            pass
        gone.set()
        return False

    return lambda number, _: hang if number > after else None


@pytest.mark.parametrize("draft", [1, "stream"])
def test_a_server_that_hangs_is_left_at_the_deadline_with_what_there_is(draft: int | str) -> None:
    gone = threading.Event()
    with serving(context=13) as server:
        server.fault = hanging(3, gone)
        adapter = remote(server, draft=draft, top=257)
        with Session(adapter, decodekit.Chain(), seed=1) as session:
            result = session.generate(PREFIX, max_tokens=500, deadline=2.0)
        assert result.finish_reason == "deadline"
        assert draft == "stream" or len(result.token_ids) >= 1
        assert gone.wait(20)  # the question was cancelled, and its connection closed


def test_a_server_that_does_not_even_greet_is_left_at_the_deadline() -> None:
    gone = threading.Event()
    with serving() as server:
        server.fault = hanging(0, gone)
        with (
            Session(RemoteAdapter(base_url=server.url)) as session,
            pytest.raises(AdapterError, match="before the deadline"),
        ):
            session.generate("the cat", deadline=0.5)
        assert gone.wait(20)
