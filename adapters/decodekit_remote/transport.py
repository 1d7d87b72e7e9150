"""HTTP, and all of it: one client, its limits, its deadline, its patience, and where the key may go.

Nothing else here imports httpx. A question is a read: asking it again changes nothing, so failed attempts are repeated
within the deadline. What a server sends is counted before it is kept, and decoded a bounded piece at a time.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import ssl
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from functools import cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import tenacity
from httpx_sse import EventSource
from pydantic import SecretStr

from decodekit.errors import AdapterError, ParameterError
from decodekit.log import get_logger
from decodekit_remote.refusals import LONGEST_WAIT, Refused, refusal

__all__ = ["Transport"]

Value = TypeVar("Value")

_MEBIBYTE = 1 << 20
_LONGEST_ERROR = 64 << 10  # bytes of an error's body that are read
_NO_CONNECTIONS = (httpx.MockTransport, httpx.ASGITransport)
_IN_EACH = "give a function that makes one, as client=lambda: httpx.AsyncClient(...)"
_LINE_END = re.compile(rb"[\r\n]")
_SPARES = 2  # connections in stock: streams may end faster than one is made
_CONNECT = 4.0  # seconds; a dead server is told of within five


class Transport:
    """Asks one server.

    Args:
        base_url: where it is, http or https, without user, password, query or fragment.
        key: sent as a bearer token to this origin only.
        deadline: seconds for a question in all, its repetitions included.
        attempts: how often a question is asked at most.
        concurrency: how many questions are in flight at once.
        client: an `httpx.AsyncClient` of the user's, who closes it, or a function that makes one; its own headers are
            left as they are.
        transport: an `httpx.AsyncBaseTransport` to send through, or a function that makes one.
        max_line: bytes of a line of a stream.
        max_body: bytes of an answer, and of what it decodes to.

    Connections belong to an event loop. A client or transport that is an object is used in the first loop it meets, and
    refused in the next; a function is called in each.

    Raises:
        ParameterError: a URL that cannot be used, or a key that no header can carry.
    """

    def __init__(
        self,
        base_url: str,
        *,
        key: SecretStr | None = None,
        deadline: float = 60.0,
        attempts: int = 5,
        concurrency: int = 16,
        client: httpx.AsyncClient | Callable[[], httpx.AsyncClient] | None = None,
        transport: httpx.AsyncBaseTransport | Callable[[], httpx.AsyncBaseTransport] | None = None,
        max_line: int = 32 * _MEBIBYTE,
        max_body: int = 64 * _MEBIBYTE,
    ) -> None:
        self.base_url = _checked_url(base_url)
        self._key = key
        if key is not None and not (key.get_secret_value().isascii() and key.get_secret_value().isprintable()):
            raise ParameterError("the key is not one line of printable ASCII, so no header can carry it")
        self.deadline = deadline
        self._attempts = attempts
        self._concurrency = concurrency
        self._limits = {"deadline": deadline, "attempts": attempts, "max_line": max_line, "max_body": max_body}
        self._given_client, self._given_transport = client, transport
        self._client: httpx.AsyncClient | None = None
        self._max_line, self._max_body = max_line, max_body
        self._loop: asyncio.AbstractEventLoop | None = None
        self._slots = asyncio.Semaphore(concurrency)
        self._keeper: asyncio.Task[None] | None = None
        self._spares: set[asyncio.Task[None]] = set()
        self._bare = True  # no spare was made in this loop
        self._closed = False
        self.requests = 0  # attempts, for those who count

    def __repr__(self) -> str:
        return f"Transport({self.base_url!r})"

    def aside(self) -> Transport:
        """Another like this one, for questions in an event loop of their own.

        Raises:
            ParameterError: the user's client or transport is an object with connections.
        """
        if self._one_loop:
            raise ParameterError(
                "client and transport belong to one event loop, and the probe and the server's tokenizer are asked in "
                f"another: {_IN_EACH}; or name the dialect and a tokenizer, and set probe=False"
            )
        return Transport(
            self.base_url,
            key=self._key,
            concurrency=self._concurrency,
            client=self._given_client,
            transport=self._given_transport,
            **self._limits,  # type: ignore[arg-type]
        )

    async def ask(self, path: str, body: Mapping[str, Any] | None = None, *, last: bool = False) -> Any:
        """The JSON that the server answers; a POST when there is a body, a GET otherwise.

        Args:
            path: put behind the base URL.
            body: the question.
            last: let the server close the connection, as nothing follows it in this loop.

        Raises:
            ProviderError: no answer within the deadline, a refusal, or an answer that is not JSON.
            ContextOverflow: the prompt is too long.
            ModelNotFound: there is no such model.
        """

        async def once() -> Any:
            async with self._answer(path, body, last=last) as response:
                data = await self._read(path, response, self._max_body)
                return self._json(path, data, response.headers.get("content-type", ""))

        return await self.patiently(path, once)

    async def patiently(self, path: str, attempt: Callable[[], Awaitable[Value]]) -> Value:
        """What an attempt comes to, repeated while that may help, within the deadline.

        Waits grow from 0.1 to 5 s with jitter, or are as long as the server asked. This is tenacity itself rather than
        stamina, which stands on it: stamina reports every retry to structlog, and where an application did not
        configure structlog that prints on stdout.
        """
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(lambda error: isinstance(error, Refused) and error.again),
            wait=_pause,
            stop=tenacity.stop_after_attempt(self._attempts),
            before_sleep=self._tell,
            reraise=True,
        )
        try:
            async with asyncio.timeout(self.deadline):
                return await retrying(attempt)
        except TimeoutError:
            raise self.error(path, f"did not answer within the deadline of {self.deadline:g} s") from None

    async def events(self, path: str, body: Mapping[str, Any]) -> AsyncGenerator[Any, None]:
        """The JSON events of a stream, server-sent or one a line, up to its end; close it to stop the server.

        Closing it closes its connection, so a spare one is made meanwhile for the next question.

        The mark ``[DONE]`` ends the stream, and whether a stream without it was complete is for the dialect to say.

        Raises:
            ProviderError: as `ask`; an error event in mid-stream; a line that is too long.
        """
        self._here()
        for _ in range(_SPARES if self._bare else 1):
            spare = asyncio.create_task(self._connect())
            self._spares.add(spare)
            spare.add_done_callback(self._spares.discard)
        self._bare = False
        async with self._answer(path, body) as response:
            kind = response.headers.get("content-type", "")
            if kind.startswith("text/event-stream"):
                texts = _server_sent(self._bounded(path, response))
            elif kind.startswith("application/x-ndjson"):
                texts = _lines(self._bounded(path, response))
            else:
                raise self.error(path, f"was asked for a stream and answered with {kind or 'no content type'!r}")
            async with aclosing(texts):
                async for text in texts:
                    if text == b"[DONE]":
                        return
                    event = self._json(path, text, "")
                    if isinstance(event, dict) and event.get("error"):
                        raise refusal(f"{self.base_url}{path}", 200, {}, self._clean(text))
                    yield event

    async def aclose(self) -> None:
        """Close the client, unless it is the user's. Closing twice does nothing."""
        self._closed = True
        tasks = [*self._spares, *([] if self._keeper is None else [self._keeper])]
        self._keeper = None
        if self._loop is asyncio.get_running_loop():
            for task in tasks:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _connect(self) -> None:
        """Leave an idle connection in the pool. Models are the cheapest thing to ask for, and need no key."""
        with suppress(httpx.HTTPError, AdapterError):
            request = self._here().build_request("GET", f"{self.base_url}/v1/models", timeout=_CONNECT)
            response = await self._here().send(request, stream=True, follow_redirects=False, auth=None)
            async with aclosing(response):
                await self._read("/v1/models", response, _LONGEST_ERROR)

    # -- one attempt ----------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _answer(
        self, path: str, body: Mapping[str, Any] | None, *, last: bool = False
    ) -> AsyncIterator[httpx.Response]:
        """A response with status 200, its body unread. Everything httpx raises becomes a `ProviderError`."""
        client = self._here()
        headers = {"accept-encoding": "identity", **({"connection": "close"} if last else {})}
        if self._key is not None:
            headers["authorization"] = f"Bearer {self._key.get_secret_value()}"
        try:
            async with self._slots:
                self.requests += 1
                request = client.build_request(
                    "GET" if body is None else "POST",
                    self.base_url + path,
                    json=body,
                    headers=headers,
                    timeout=httpx.Timeout(self.deadline, connect=min(_CONNECT, self.deadline), pool=None),
                )
                response = await client.send(request, stream=True, follow_redirects=False, auth=None)
                try:
                    if response.status_code != 200:
                        words = self._clean(await self._read(path, response, _LONGEST_ERROR, cut=True))
                        raise refusal(f"{self.base_url}{path}", response.status_code, response.headers, words)
                    yield response
                finally:
                    await response.aclose()
        except httpx.ConnectTimeout:
            raise self.error(path, f"cannot be reached: no connection within {_CONNECT:g} s") from None
        except httpx.ConnectError as error:
            raise self.error(path, f"cannot be reached: {_words_of(error)}", again=not _is_tls(error)) from None
        except httpx.TimeoutException as error:
            raise self.error(path, f"did not answer in time ({type(error).__name__})") from None
        except httpx.TransportError as error:  # the connection broke: nothing was accepted, so it may be asked again
            raise self.error(path, f"broke off: {_words_of(error)}", again=True) from None
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, zlib.error) as error:
            raise self.error(path, f"could not be understood: {_words_of(error)}") from None

    @property
    def _one_loop(self) -> bool:
        if isinstance(self._given_client, httpx.AsyncClient):
            return True
        transport = self._given_transport
        return isinstance(transport, httpx.AsyncBaseTransport) and not isinstance(transport, _NO_CONNECTIONS)

    def _here(self) -> httpx.AsyncClient:
        """The client for this event loop: connections of a loop that ended are of no use in the next.

        The pool itself has no bound, so that nothing that is cancelled can lose a place in it; `_slots` bounds what is
        in flight.
        """
        if self._closed:
            raise AdapterError(f"the adapter for {self.base_url} is closed")
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._loop is not None and self._one_loop:
                raise AdapterError(f"client and transport are in use in another event loop: {_IN_EACH}")
            self._loop = loop
            self._slots = asyncio.Semaphore(self._concurrency)
            self._bare = True
            self._client = self._made(loop)
        assert self._client is not None
        return self._client

    def _made(self, loop: asyncio.AbstractEventLoop) -> httpx.AsyncClient:
        given, transport = self._given_client, self._given_transport
        if isinstance(given, httpx.AsyncClient):
            return given
        if given is not None:
            client = given()
        else:
            client = httpx.AsyncClient(
                transport=transport() if callable(transport) else transport,
                verify=_trust(),
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=self._concurrency),
                trust_env=False,
            )
        close = given is not None or not isinstance(transport, httpx.AsyncBaseTransport)
        self._keeper = loop.create_task(_keep(client, close=close))
        return client

    async def _read(self, path: str, response: httpx.Response, most: int, *, cut: bool = False) -> bytes:
        data = bytearray()
        async for piece in self._pieces(path, response):
            data += piece
            if len(data) > most:
                if cut:
                    return bytes(data[:most])
                raise self.error(path, f"sent more than {most:,} bytes, which is refused")
        return bytes(data)

    async def _pieces(self, path: str, response: httpx.Response) -> AsyncIterator[bytes]:
        """The decoded body, a bounded piece at a time. None of it was asked to be compressed; some compress anyway."""
        if response.is_stream_consumed:  # by a transport that read it itself, as httpx.MockTransport does
            yield response.content
            return
        coding = response.headers.get("content-encoding", "identity").strip().lower()
        if coding in ("", "identity"):
            async for piece in response.aiter_raw():
                yield piece
            return
        if coding not in ("gzip", "deflate"):
            raise self.error(path, f"compressed its answer with {coding!r}, unasked")
        unpack = zlib.decompressobj(47)
        async for raw in response.aiter_raw():
            while raw:
                yield unpack.decompress(raw, _MEBIBYTE)
                raw = unpack.unconsumed_tail
        if not unpack.eof:
            raise self.error(path, "sent a compressed body that ends too early", again=True)

    async def _bounded(self, path: str, response: httpx.Response) -> AsyncIterator[bytes]:
        """The pieces of a stream, none of which makes a line or the whole too long for whoever puts them together."""
        line = total = 0
        async for piece in self._pieces(path, response):
            total += len(piece)
            if total > self._max_body:
                raise self.error(path, f"streamed more than {self._max_body:,} bytes, which is refused")
            for at, part in enumerate(_LINE_END.split(piece)):
                line = len(part) + (0 if at else line)
                if line > self._max_line:
                    raise self.error(path, f"sent a line of more than {self._max_line:,} bytes, which is refused")
            yield piece

    def _json(self, path: str, data: bytes, kind: str) -> Any:
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            start = " ".join(self._clean(data[:200]).decode("utf-8", "replace").split())
            sort = f" of type {kind!r}" if kind else ""
            raise self.error(path, f"answered with something{sort} that is not JSON: {start!r}") from None

    def _tell(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        get_logger().info("asking again", server=self.base_url, attempt=state.attempt_number, error=str(error))

    def error(self, path: str, what: str, *, again: bool = False) -> Refused:
        return Refused(f"{self.base_url}{path} {what}", again=again)

    def _clean(self, words: bytes) -> bytes:
        """Some servers repeat the key they refuse."""
        return words if self._key is None else words.replace(self._key.get_secret_value().encode(), b"[key]")


class _Stream(httpx.AsyncByteStream):
    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces


async def _server_sent(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The data of server-sent events; one that its blank line does not follow never came whole."""
    counted = httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=_Stream(pieces))
    async with aclosing(EventSource(counted).aiter_sse()) as events:
        async for event in events:
            if event.data:
                yield event.data.encode()


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Lines, which end at LF and nowhere else: a text may hold U+2028. What no LF follows never came whole."""
    held = bytearray()
    async for piece in pieces:
        *ended, rest = piece.split(b"\n")
        for part in ended:
            held += part
            if held.strip():
                yield bytes(held)
            held.clear()
        held += rest


def _pause(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    if isinstance(error, Refused) and error.wait is not None:
        return min(error.wait, LONGEST_WAIT)
    jitter = random.uniform(0, 0.1 * 2 ** (state.attempt_number - 1))  # noqa: S311 - spreads retries, decides no token
    return float(min(5.0, 0.1 * 2 ** (state.attempt_number - 1) + jitter))


async def _keep(client: httpx.AsyncClient, *, close: bool) -> None:
    """Closes the client when it is cancelled: by us, or by the end of the event loop, which cancels what is left."""
    try:
        await asyncio.Event().wait()
    finally:
        if close:
            await client.aclose()


@cache
def _trust() -> ssl.SSLContext:
    """The certificates to trust, read once."""
    return httpx.create_ssl_context(trust_env=False)


def _is_tls(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _words_of(error: Exception) -> str:
    return str(error) or type(error).__name__


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ParameterError(f"base_url: an http or https URL such as http://127.0.0.1:8080, not {_bare(url)!r}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ParameterError("base_url: no user, password, query or fragment; a key goes into a variable: api_key_env")
    try:
        parts.port  # noqa: B018 - it is read to be checked
    except ValueError as error:
        raise ParameterError(f"base_url: {error}") from None
    return url.rstrip("/")


def _bare(url: str) -> str:
    return url.split("?")[0].rsplit("@")[-1]
