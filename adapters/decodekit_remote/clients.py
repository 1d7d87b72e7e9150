"""HTTP clients, one for each event loop: connections of one loop cannot be used in another."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, TypeVar

import httpx

from decodekit.errors import AdapterError, ParameterError, brief, message_of

__all__ = ["Clients", "LoopResources"]

_SPARES = 2  # spare connections: streams may end faster than a connection is made
_IN_EACH = "give a function that makes one, as client=lambda: httpx.AsyncClient(...)"
_NO_CONNECTIONS = (httpx.MockTransport, httpx.ASGITransport)

Made = TypeVar("Made")
Client = httpx.AsyncClient | Callable[[], httpx.AsyncClient] | None
Carrier = httpx.AsyncBaseTransport | Callable[[], httpx.AsyncBaseTransport] | None


_keepers: set[asyncio.Task[None]] = set()  # keeps references, because an event loop does not keep tasks alive


class LoopResources:
    """What belongs to one event loop.

    Args:
        client: the client there.
        loop: the loop.
        concurrency: how many questions are in flight at once.
        close: whether to close the client here.
    """

    def __init__(self, client: httpx.AsyncClient, loop: asyncio.AbstractEventLoop, concurrency: int, close: bool):
        self.client = client
        # The pool itself has no limit, so that a cancelled request cannot lose its turn in it; this is the limit.
        self.slots = asyncio.Semaphore(concurrency)
        self._keeper = loop.create_task(_keep(client, close=close))
        _keepers.add(self._keeper)
        self._keeper.add_done_callback(_keepers.discard)
        self._spares: set[asyncio.Task[None]] = set()
        self._streamed = False

    def stock(self, connect: Callable[[], Awaitable[None]]) -> None:
        """Make a spare connection to replace one that the end of a stream closes; two the first time."""
        for _ in range(1 if self._streamed else _SPARES):
            spare = asyncio.ensure_future(connect())
            self._spares.add(spare)
            spare.add_done_callback(self._spares.discard)
        self._streamed = True

    async def aclose(self) -> None:
        """Close the client, unless it is the user's."""
        for task in [*self._spares, self._keeper]:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


class Clients:
    """Makes a client in each event loop that uses it, and closes it with the loop.

    Args:
        base_url: for errors.
        client: an `httpx.AsyncClient` that the user closes, or a function that makes one.
        transport: an `httpx.AsyncBaseTransport` to send through, or a function that makes one.
        concurrency: how many questions are in flight at once in a loop.

    A client or transport that is an object is used in the first event loop, and refused in another; a function is
    called in each.
    """

    def __init__(self, base_url: str, client: Client, transport: Carrier, concurrency: int) -> None:
        for field, given, kind in (
            ("client", client, httpx.AsyncClient),
            ("transport", transport, httpx.AsyncBaseTransport),
        ):
            if not (given is None or isinstance(given, kind) or callable(given)):
                raise _wrong(field, f"it is {brief(type(given))}", kind)
        self._base_url, self._concurrency = base_url, concurrency
        self._client, self._transport = client, transport
        self._by_loop: dict[asyncio.AbstractEventLoop, LoopResources] = {}
        self._only: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def here(self) -> LoopResources:
        """The resources of the running loop. Raises `AdapterError` after closing, or for an object of another loop."""
        if self._closed:
            raise AdapterError(f"the adapter for {self._base_url} is closed")
        loop = asyncio.get_running_loop()
        if loop not in self._by_loop:
            if self._one_loop and self._only not in (None, loop):
                raise AdapterError(f"client and transport are in use in another event loop: {_IN_EACH}")
            self._only = loop
            for gone in [each for each in list(self._by_loop) if each.is_closed()]:
                self._by_loop.pop(gone, None)
            self._by_loop[loop] = self._made(loop)
        return self._by_loop[loop]

    @property
    def home(self) -> asyncio.AbstractEventLoop | None:
        """The only event loop that can be used, if there is only one and it runs."""
        home = self._only if self._one_loop else None
        return home if home is not None and home.is_running() else None

    async def aclose(self) -> None:
        """Close the client of this loop; those of other loops close with their loop. Closing twice does nothing."""
        self._closed = True
        resources = self._by_loop.pop(asyncio.get_running_loop(), None)
        if resources is not None:
            await resources.aclose()

    @property
    def _one_loop(self) -> bool:
        if isinstance(self._client, httpx.AsyncClient):
            return True
        return isinstance(self._transport, httpx.AsyncBaseTransport) and not isinstance(
            self._transport, _NO_CONNECTIONS
        )

    def _made(self, loop: asyncio.AbstractEventLoop) -> LoopResources:
        given, transport = self._client, self._transport
        if isinstance(given, httpx.AsyncClient):
            return LoopResources(given, loop, self._concurrency, close=False)
        if given is not None:
            own = _made_by(given, "client", httpx.AsyncClient)
            return LoopResources(own, loop, self._concurrency, close=True)
        if transport is None or isinstance(transport, httpx.AsyncBaseTransport):
            carrier, theirs = transport, transport is not None
        else:
            carrier, theirs = _made_by(transport, "transport", httpx.AsyncBaseTransport), False
        client = httpx.AsyncClient(
            transport=carrier,
            verify=_trust(),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=self._concurrency),
            trust_env=False,
        )
        return LoopResources(client, loop, self._concurrency, close=not theirs)


def _made_by(make: Callable[[], Any], field: str, kind: type[Made]) -> Made:
    """What a function of the user makes; `ParameterError` where it raises, or makes something else."""
    try:
        made = make()
    except Exception as error:  # the function is the user's
        raise ParameterError(f"{field}: its function raised {type(error).__name__}: {message_of(error)}") from error
    if not isinstance(made, kind):
        if isinstance(made, httpx.Client):
            made.close()
        raise _wrong(field, f"its function made {brief(type(made))}", kind)
    return made


def _wrong(field: str, what: str, kind: type) -> ParameterError:
    return ParameterError(f"{field}: {what}, and must be an httpx.{kind.__name__}, or a function that makes one")


async def _keep(client: httpx.AsyncClient, *, close: bool) -> None:
    """Closes the client when it is cancelled: by `aclose`, or by the end of the event loop, which cancels all tasks."""
    try:
        await asyncio.Event().wait()
    finally:
        if close:
            await client.aclose()


@cache
def _trust() -> ssl.SSLContext:
    """The certificates to trust, read once."""
    return httpx.create_ssl_context(trust_env=False)
