"""Questions to one server over HTTP: limits, deadline, retries, and where the key may be sent.

Only this file and `decodekit_remote.clients` import httpx. A question changes nothing on the server, so failed attempts
are repeated within the deadline.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
import tenacity
from httpx_sse import EventSource
from pydantic import SecretStr

from decodekit.errors import AdapterError, ParameterError
from decodekit_remote.body import (
    MEBIBYTE,
    MOST_OBJECTS,
    Broken,
    Refusal,
    bounded,
    decoded,
    lines,
    parsed,
    read_all,
    utf8,
)
from decodekit_remote.clients import Carrier, Client, Clients
from decodekit_remote.parameters import checked_url
from decodekit_remote.redaction import Redaction
from decodekit_remote.refusals import LONGEST_WAIT, Refused, is_error, own_message, refusal, status_of

__all__ = ["Transport"]

Value = TypeVar("Value")

_LONGEST_ERROR = 64 << 10  # bytes of an error's body that are read
_LONGEST_START = 200  # characters of an answer that is no stream that are quoted
_CONNECT = 4.0  # seconds; a server that is down is reported within five


class Transport:
    """Asks one server. Its error messages do not contain the key.

    Args:
        base_url: its address, http or https, without user, password, query or fragment.
        key: sent as a bearer token to this origin only.
        deadline: seconds for one question, including retries.
        attempts: how many times a question is sent at most.
        concurrency: how many questions are in flight at once, in each event loop.
        client: as for `Clients`; its own headers are left as they are.
        transport: as for `Clients`.
        key_header: the header that takes the key in place of ``authorization``.
        headers: sent with every request.
        max_line: bytes of a line of a stream.
        max_body: bytes of an answer, and of what it decodes to.

    Attributes:
        redaction: removes the key from all messages.
        requests: the number of attempts so far.

    Raises:
        ParameterError: a URL that cannot be used, or a key that cannot be sent in a header.
    """

    def __init__(
        self,
        base_url: str,
        *,
        key: SecretStr | None = None,
        deadline: float = 60.0,
        attempts: int = 5,
        concurrency: int = 16,
        client: Client = None,
        transport: Carrier = None,
        key_header: str = "",
        headers: Mapping[str, str] | None = None,
        max_line: int = 32 * MEBIBYTE,
        max_body: int = 64 * MEBIBYTE,
    ) -> None:
        self.base_url = checked_url(base_url)
        self._key, self._key_header, self._headers = key, key_header, dict(headers or {})
        if key is not None and not (key.get_secret_value().isascii() and key.get_secret_value().isprintable()):
            raise ParameterError("the key is not one line of printable ASCII, so it cannot be sent in a header")
        self.redaction = Redaction(key)
        self.deadline = deadline
        self._timeout = httpx.Timeout(deadline, connect=min(_CONNECT, deadline), pool=None)
        self._attempts = attempts
        self._clients = Clients(self.base_url, client, transport, concurrency)
        self._max_line, self._max_body = max_line, max_body
        self.requests = 0

    def __repr__(self) -> str:
        return f"Transport({self.base_url!r})"

    async def ask(self, path: str, body: Mapping[str, Any] | None = None, *, objects: int = MOST_OBJECTS) -> Any:
        """The JSON that the server answers; a POST when there is a body, a GET otherwise.

        Args:
            path: appended to the base URL.
            body: the question.
            objects: bytes that the answer may take in memory, beyond its text.

        Raises:
            ProviderError: no answer within the deadline, a refusal, or an answer that is not JSON.
            ContextOverflow: the prompt is too long.
            ModelNotFound: there is no such model.
            ParameterError: the question cannot be written as JSON.
        """

        async def once() -> Any:
            async with self._answer(path, body) as response:
                data = await read_all(_decoded(response), self._max_body)
                return self._json(path, data, response.headers.get("content-type", ""), objects)

        return await self.patiently(path, once)

    async def patiently(self, path: str, attempt: Callable[[], Awaitable[Value]]) -> Value:
        """The result of an attempt, repeated while that may help, within the deadline.

        Waits grow from 0.1 to 5 s with jitter, or are as long as the server asked. tenacity is used directly and not
        through stamina: stamina reports every retry to structlog, which prints on stdout if an application did not
        configure it.
        """
        ends, last = time.monotonic() + self.deadline, _Last()
        try:
            async with asyncio.timeout(self.deadline):
                try:
                    return await attempt()
                except Refused as error:
                    if not error.again:
                        raise
                    last.error = error
                    try:
                        return await self._again(attempt, last, ends)
                    except Refused as final:
                        raise self._beyond(final, ends) from None
        except TimeoutError:
            said = f"did not answer within the deadline of {self.deadline:g} s"
            if last.error is None:
                raise self.error(path, said) from None
            raise self.error(path, f"{said}; its last answer: {last.error}") from None

    def _beyond(self, error: Refused, ends: float) -> Refused:
        """The error of the last attempt, with the reason why there was no other one, if that is the deadline."""
        if not error.again or error.wait is None or time.monotonic() + error.wait < ends:
            return error
        message = f"{error}; it asks to wait {error.wait:g} s, beyond the deadline of {self.deadline:g} s"
        return Refused(message, status=error.status, again=True, wait=error.wait)

    async def _again(self, attempt: Callable[[], Awaitable[Value]], last: _Last, ends: float) -> Value:
        """Repeat an attempt that failed. The first one is made outside of tenacity, which takes 0.1 ms for each.

        There is no wait that would end after the deadline: the error of the last attempt is raised instead.
        """
        first = last.error

        async def next_attempt() -> Value:
            nonlocal first
            if first is not None:
                failed, first = first, None
                raise failed
            try:
                return await attempt()
            except Refused as error:
                last.error = error
                raise

        def stop(state: tenacity.RetryCallState) -> bool:
            return state.attempt_number >= self._attempts or time.monotonic() + state.upcoming_sleep >= ends

        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(lambda error: isinstance(error, Refused) and error.again),
            wait=_pause,
            stop=stop,
            before_sleep=self._log_retry,
            reraise=True,
        )
        return await retrying(next_attempt)

    async def events(
        self, path: str, body: Mapping[str, Any], *, spare: bool = True, drawn: bool = False
    ) -> AsyncGenerator[Any, None]:
        """The JSON events of a stream, server-sent or one a line, up to its end; close it to stop the server.

        Closing it closes its connection, so a ``spare`` one is made meanwhile for the next question. An event that is
        ``null`` is ignored. The mark ``[DONE]`` ends the stream; the dialect decides whether a stream without it was
        complete. Of an answer that the server has ``drawn``, lone halves of surrogate pairs are kept, and it may come
        as one JSON body, of a server that does not stream.

        Raises:
            ProviderError: as `ask`; an error event in mid-stream; a line that is too long.
        """
        if spare:
            self._clients.here().stock(self._connect)
        async with self._answer(path, body) as response:
            kind = response.headers.get("content-type", "")
            counted = bounded(_decoded(response), self._max_body, self._max_line)
            texts: AsyncGenerator[tuple[str, bytes], None]
            match kind.partition(";")[0].strip().lower():
                case "text/event-stream":
                    texts = _server_sent(counted)
                case "application/x-ndjson":
                    texts = _named(lines(counted))
                case other:
                    texts = _named(_at_once(counted, self._max_body))
                    if not (drawn and other == "application/json"):
                        await self._refuse_body(path, kind, texts)
            async with aclosing(texts):
                async for name, text in texts:
                    if text == b"[DONE]":
                        return
                    event = self._json(path, text, "", MOST_OBJECTS, halves=drawn)
                    if name == "error" or is_error(event):
                        raise refusal(f"{self.base_url}{path}", status_of(event), {}, text, self.redaction.text)
                    if event is not None:
                        yield event

    async def _refuse_body(self, path: str, kind: str, texts: AsyncGenerator[tuple[str, bytes], None]) -> None:
        """Raises the error for an answer that is no stream, with what it says."""
        async with aclosing(texts):
            body = b"".join([text async for _, text in texts])
        message = own_message(body, self.redaction.text)[:_LONGEST_START]
        said = f": {message}" if message else ""
        raise self.error(path, f"was asked for a stream and answered with {kind or 'no content type'!r}{said}")

    @property
    def home(self) -> asyncio.AbstractEventLoop | None:
        """The event loop to ask in, where a client or transport that is an object works in no other."""
        return self._clients.home

    async def aclose(self) -> None:
        """Close the client, unless it is the user's. Closing twice does nothing."""
        await self._clients.aclose()

    def error(self, path: str, what: str, *, again: bool = False) -> Refused:
        """The error of a failed attempt, without the key."""
        return Refused(self.redaction.text(f"{self.base_url}{path} {what}"), again=again)

    async def _connect(self) -> None:
        """Leave an idle connection in the pool. The list of models is the cheapest request, and needs no key."""
        with suppress(httpx.HTTPError, AdapterError, Refusal):
            client = self._clients.here().client
            request = client.build_request("GET", f"{self.base_url}/v1/models", timeout=_CONNECT)
            response = await client.send(request, stream=True, follow_redirects=False, auth=None)
            async with aclosing(response):
                await read_all(_decoded(response), _LONGEST_ERROR)

    # -- one attempt ----------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _answer(self, path: str, body: Mapping[str, Any] | None) -> AsyncIterator[httpx.Response]:
        """A response with status 200, its body unread. Everything httpx raises becomes a `ProviderError`."""
        here = self._clients.here()
        request = self._request(here.client, path, body)
        try:
            async with here.slots:
                self.requests += 1
                response = await here.client.send(request, stream=True, follow_redirects=False, auth=None)
                try:
                    if response.status_code != 200:
                        message = await read_all(_decoded(response), _LONGEST_ERROR, cut=True)
                        where = f"{self.base_url}{path}"
                        raise refusal(where, response.status_code, response.headers, message, self.redaction.text)
                    yield response
                finally:
                    await response.aclose()
        except Refusal as error:
            raise self.error(path, str(error), again=isinstance(error, Broken)) from None
        except httpx.ConnectTimeout:
            raise self.error(path, f"cannot be reached: no connection within {_CONNECT:g} s") from None
        except httpx.ConnectError as error:
            hint = "" if _is_tls(error) else "; start the server, or mend base_url"
            raise self.error(path, f"cannot be reached: {_reason_of(error)}{hint}", again=not _is_tls(error)) from None
        except httpx.TimeoutException as error:
            raise self.error(path, f"did not answer in time ({type(error).__name__})") from None
        except httpx.TransportError as error:  # the connection was lost: nothing was accepted, so it may be sent again
            raise self.error(path, f"broke off: {_reason_of(error)}", again=True) from None
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as error:
            raise self.error(path, f"could not be understood: {_reason_of(error)}") from None

    def _request(self, client: httpx.AsyncClient, path: str, body: Mapping[str, Any] | None) -> httpx.Request:
        headers = {"accept-encoding": "identity", **self._headers}
        if self._key is not None and self._key_header:
            headers[self._key_header] = self._key.get_secret_value()
        elif self._key is not None:
            headers["authorization"] = f"Bearer {self._key.get_secret_value()}"
        try:
            return client.build_request(
                "GET" if body is None else "POST",
                self.base_url + path,
                json=body,
                headers=headers,
                timeout=self._timeout,
            )
        except (TypeError, ValueError) as error:  # such as a text with half a surrogate pair
            raise ParameterError(f"a question for {self.base_url}{path} cannot be written as JSON: {error}") from None

    def _json(self, path: str, data: bytes | bytearray, kind: str, objects: int, *, halves: bool = False) -> Any:
        try:
            return parsed(data, objects, halves=halves)
        except (ValueError, RecursionError):
            start = " ".join(self.redaction.text(data[:1000].decode("utf-8", "replace")).split())[:200]
            sort = f" of type {kind!r}" if kind else ""
            raise self.error(path, f"answered with something{sort} that is not JSON: {start!r}") from None

    def _log_retry(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        self.redaction.log("info", "asking again", server=self.base_url, attempt=state.attempt_number, error=str(error))


async def _decoded(response: httpx.Response) -> AsyncIterator[bytes]:
    if response.is_stream_consumed:  # by a transport that read it itself, as httpx.MockTransport does
        yield response.content
        return
    coding = response.headers.get("content-encoding", "identity").strip().lower()
    async for chunk in decoded(response.aiter_raw(), coding):
        yield chunk


@dataclass(slots=True)
class _Last:
    """The error of the last attempt."""

    error: Refused | None = None


class _ResponseBody(httpx.AsyncByteStream):
    def __init__(self, body: AsyncIterator[bytes]) -> None:
        self._body = body

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._body


async def _server_sent(body: AsyncIterator[bytes]) -> AsyncGenerator[tuple[str, bytes], None]:
    """The names and data of server-sent events; one without a blank line after it is incomplete and is dropped."""
    counted = httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=_ResponseBody(utf8(body)))
    async with aclosing(EventSource(counted).aiter_sse()) as events:
        async for event in events:
            if event.data:
                yield event.event, event.data.encode()


async def _named(texts: AsyncGenerator[bytes, None]) -> AsyncGenerator[tuple[str, bytes], None]:
    """Events without names."""
    async with aclosing(texts):
        async for text in texts:
            yield "", text


async def _at_once(body: AsyncIterator[bytes], most: int) -> AsyncGenerator[bytes, None]:
    """A body as one event."""
    yield bytes(await read_all(body, most))


def _pause(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    if isinstance(error, Refused) and error.wait is not None:
        return min(error.wait, LONGEST_WAIT)
    jitter = random.uniform(0, 0.1 * 2 ** (state.attempt_number - 1))  # noqa: S311 - spreads retries, chooses no token
    return float(min(5.0, 0.1 * 2 ** (state.attempt_number - 1) + jitter))


def _is_tls(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _reason_of(error: Exception) -> str:
    return str(error) or type(error).__name__
