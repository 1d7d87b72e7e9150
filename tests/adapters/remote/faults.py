"""What the tests with a misbehaving server share."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from decodekit import Prefix
from decodekit.testing import BytesTokenizer
from decodekit_remote import RemoteAdapter
from decodekit_remote.transport import Transport
from tests.adapters.remote.servers import Answer, TableServer

__all__ = ["KEY", "PREFIX", "always", "asked", "closing", "cut", "events", "first", "remote", "sending"]

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


async def closing(transport: Transport, work: Callable[[Transport], Any]) -> Any:
    try:
        return await work(transport)
    finally:
        await transport.aclose()


async def events(transport: Transport) -> list[Any]:
    return [event async for event in transport.events("/x", {})]
