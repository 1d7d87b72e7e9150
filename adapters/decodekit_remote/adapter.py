"""`RemoteAdapter`: a model behind a server, which is contacted when the adapter is first used."""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, SecretStr

from decodekit.distribution.disclosure import CHEAP, Disclosure, for_each
from decodekit.errors import AdapterError, ConfigError, DecodekitError, ModelNotFound
from decodekit.model.adapter import AdapterInfo, Answer
from decodekit.model.background import Background
from decodekit.model.drawn import Drawing
from decodekit.model.fitness import Fitness
from decodekit.model.loops import running
from decodekit.model.pickling import OfOneProcess
from decodekit.model.prefix import Prefix
from decodekit.plugin import parameter_model, validated
from decodekit.session.provider_draws import Terms
from decodekit.text.tokenizer import Tokenizer
from decodekit_remote.connection import Connection, Options, needs_vocabulary, server_of, takes_texts_only
from decodekit_remote.dialect import Prefill
from decodekit_remote.engines import EngineName
from decodekit_remote.named_tokenizer import named_tokenizer
from decodekit_remote.parameters import BaseUrl, KeyVariable
from decodekit_remote.probing import CHAT, Found, assumed, contact, dialect_named
from decodekit_remote.refusals import Refused
from decodekit_remote.server_drawn import ServerDrawn
from decodekit_remote.server_tokenizer import ServerTokenizer
from decodekit_remote.transport import Transport

__all__ = ["RemoteAdapter"]

Value = TypeVar("Value")

_NO_MODEL = re.compile(r"answered 4\d\d: .*\bmodel\b", re.IGNORECASE)


class RemoteAdapter(OfOneProcess):
    """A model behind a server that returns logprobs. An `AsyncAdapter`; sessions use it through a blocking facade.

    One greedy request returns several tokens, each with its list of logprobs. The lists are the answers for the
    prefixes that continue with these tokens, and are kept until they are needed. Tokens are drawn on this side, so a
    draft that is not accepted costs only time.

    Building one does no I/O. The server is contacted, and a tokenizer's file is read, on first use or by `connect`:
    errors of the server, or of settings that do not fit it, are raised there. For blocking code this happens on an
    event loop in a separate thread; inside a running event loop, questions are awaited in that loop, and `info`,
    `tokenizer`, `capabilities` and `measured` raise `AdapterError` until ``await adapter.connect()``. The methods of a
    server's own tokenizer block there too: ``await asyncio.to_thread(adapter.tokenizer.encode, text)``.

    Args:
        base_url: the address of the server, with or without a trailing ``/v1``.
        dialect: the name of the server's API, or ``auto`` to find out; in code, also your own `Dialect`.
        model: the model to ask for; the server's first by default.
        tokenizer: gives ids to tokens where the server returns texts: a folder with a ``tokenizer.json``, that file, a
            GGUF file or a model package's name, or in code any `Tokenizer`. Without one a token is its bytes, and its
            id a hash of these.
        api_key_env: the name of the environment variable that holds the key.
        draft: how many tokens a question asks for: a number, ``stream`` to let the server generate and stop it at the
            first token that is not accepted, or ``auto`` to adapt to measured times.
        top: how many of the most likely tokens are usually requested; by default what the dialect gives cheaply, and
            more when that was often not enough.
        deadline: seconds for one question, including retries.
        attempts: how many times a question is sent at most.
        concurrency: questions in flight at a time, and sequences that a session runs at a time.
        prefill: how this server continues an assistant message (openai_chat). It is tested on two or three tokens
            before use, and later answers are watched.
        retokenised: what to do when a server that takes text tokenises it differently from the prefix, and so continues
            another sequence: ``error``, or ``allow``, which each step's schedule records.
        same_text: how lists keyed by text are read (llama_cpp_python): ``assume`` that tokens which a list of the whole
            vocabulary has lost among equal texts have no probability, and without a tokenizer that each text is one
            token and "" the end of a text, which each step's schedule records as ``assumed``; or ``error``.
        engine: which program's sampling parameters the server has, for ``sampler = "provider"``; ``auto`` goes by the
            name that the server gives, and assumes those of OpenAI's API where it gives none.
        probe: whether to request two or three single tokens first, to see what the server can return and whether values
            are raw.
        client: in code, a function that makes an `httpx.AsyncClient`, called in each event loop; or a client, which you
            close yourself and which works in the first event loop only.
        transport: in code, the same for an `httpx.AsyncBaseTransport` to send through.

    Raises:
        ParameterError: a parameter is out of range.
        ConfigError: the variable is not set, or there is no such dialect.
    """

    def __init__(
        self,
        *,
        base_url: BaseUrl,
        dialect: Any = "auto",
        model: Annotated[str, Field(min_length=1, max_length=512)] | None = None,
        tokenizer: Any = None,
        api_key_env: KeyVariable | None = None,
        draft: Annotated[int, Field(ge=1, le=64)] | Literal["auto", "stream"] = "auto",
        top: Annotated[int, Field(ge=1, le=1_000_000)] | None = None,
        deadline: Annotated[float, Field(gt=0, le=3600)] = 60.0,
        attempts: Annotated[int, Field(ge=1, le=20)] = 5,
        concurrency: Annotated[int, Field(ge=1, le=1024)] = 16,
        prefill: Prefill = "no",
        retokenised: Literal["error", "allow"] = "error",
        same_text: Literal["assume", "error"] = "assume",
        engine: EngineName | Literal["auto"] = "auto",
        probe: bool = True,
        client: Any = None,
        transport: Any = None,
    ) -> None:
        given = {key: value for key, value in locals().items() if key != "self"}
        validated(parameter_model(type(self)), given, "adapter 'remote'")
        named = dialect_named(dialect) if isinstance(dialect, str) and dialect != "auto" else dialect
        self._transport = Transport(
            base_url.rstrip("/").removesuffix("/v1"),
            key=_key_from(api_key_env),
            deadline=deadline,
            attempts=attempts,
            concurrency=concurrency,
            client=client,
            transport=transport,
            key_header=getattr(named, "key_header", ""),
            headers=getattr(named, "headers", None),
        )
        self._dialect = None if named == "auto" else named
        self._model, self._tokenizer, self._probe, self._engine = model, tokenizer, probe, engine
        self._options = Options(draft, top, concurrency, prefill, retokenised, same_text)
        self._connection: Connection | None = None
        self._connecting: dict[asyncio.AbstractEventLoop, asyncio.Lock] = {}
        self._one_connection = threading.Lock()
        self._background: Background | None = None
        self._owned: Any = None
        self._closed = False

    # -- what it is -----------------------------------------------------------------------------------------------

    @property
    def info(self) -> AdapterInfo:
        """The properties of this adapter."""
        return self._require_connection().info

    @property
    def tokenizer(self) -> Tokenizer | None:
        """The one that was given, the server's own, or one of bytes."""
        return self._require_connection().server.tokenizer

    @property
    def capabilities(self) -> Mapping[str, Any]:
        """What the server can do, by name, and how that is known."""
        return self._require_connection().capabilities

    @property
    def measured(self) -> Mapping[str, float]:
        """The counts and times measured so far.

        ``requests``; ``drafted``, the draws for which there was a drafted token, and ``accepted``, those that agreed
        with it; ``acceptance``, the moving rate of these; ``draft`` and ``top``, the lengths of the next draft and its
        lists; ``round_trip_s`` and ``token_s``, the times of a request and of a token in it; ``streams``, how many are
        running.
        """
        connection = self._require_connection()
        draft = connection.draft_length
        round_trip, token = draft.costs or (0.0, 0.0)
        return {
            "requests": self._transport.requests,
            "drafted": draft.drafted,
            "accepted": draft.accepted,
            "acceptance": draft.acceptance,
            "draft": draft.length,
            "top": connection.list_length.top,
            "round_trip_s": round_trip,
            "token_s": token,
            "streams": connection.streams.count,
        }

    def __repr__(self) -> str:
        dialect = self._connection.server.dialect if self._connection is not None else self._dialect
        return f"RemoteAdapter(base_url={self._transport.base_url!r}, dialect={getattr(dialect, 'name', 'auto')!r})"

    # -- the first contact ----------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Contact the server, if that was not done yet.

        Raises:
            ProviderError: it does not answer, refuses, gives no logprobs, or does not continue an answer as ``prefill``
                says.
            ParameterError: it cannot do what was asked for.
            ConfigError: the tokenizer is not one, or is that of another model.
            ModelNotFound: there is no such file for a tokenizer.
            AdapterError: the adapter is closed.
        """
        if self._connection is not None:
            return
        for gone in [loop for loop in list(self._connecting) if loop.is_closed()]:
            self._connecting.pop(gone, None)
        async with self._connecting.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
            if self._connection is None:
                await self._guarded(self._contact())

    async def _contact(self) -> None:
        if self._dialect is not None and not self._probe:
            found = assumed(self._dialect, self._model)
        else:
            found = await contact(self._transport, self._dialect, self._model, probe=self._probe)
        tokenizer, owned = await asyncio.to_thread(named_tokenizer, self._tokenizer, found.info.vocab_size)
        try:
            if tokenizer is None and found.info.tokenizes and not needs_vocabulary(found):
                tokenizer = await self._server_tokenizer(found)
            connection = self._new_connection(found, tokenizer)
            if self._probe:
                await connection.prove_prefill()
            with self._one_connection:
                if self._connection is None:  # another loop may have connected meanwhile
                    self._connection, self._owned, owned = connection, owned, None
        finally:
            if owned is not None:
                owned.close()

    async def _server_tokenizer(self, found: Found) -> ServerTokenizer:
        transport = self._transport
        ask: Callable[[str, Mapping[str, Any]], Any] = lambda path, body: self._wait(  # noqa: E731 - it has a type
            lambda: self._guarded(transport.ask(path, body))
        )
        tokenizer = ServerTokenizer(
            found.dialect, ask, found.info, where=transport.base_url, clean=transport.redaction.text
        )
        await tokenizer.read_fingerprint(transport.ask)
        return tokenizer

    def _new_connection(self, found: Found, tokenizer: Tokenizer | None) -> Connection:
        server = server_of(self._transport, found, tokenizer, self._options)
        chat = dialect_named(CHAT) if self._dialect is None and takes_texts_only(server) else None
        return Connection(server, found, self._options, chat)

    def _require_connection(self) -> Connection:
        if self._connection is None:
            if _inside_an_event_loop():
                raise AdapterError(
                    f"the adapter for {self._transport.base_url} is not connected, and waiting for the server here "
                    "would block this event loop: await adapter.connect() first"
                )
            self._wait(self.connect)
        assert self._connection is not None
        return self._connection

    def _wait(self, question: Callable[[], Coroutine[Any, Any, Value]]) -> Value:
        """A question from blocking code, on the event loop of the sessions, if there are any; it ends with them.

        A worker thread of the only loop that can be used, where an `AsyncSession` tokenises, asks there.
        """
        home = self._transport.home
        if home is not None and not _inside_an_event_loop():
            return asyncio.run_coroutine_threadsafe(question(), home).result()
        if self._background is None or not self._background.usable:
            self._background = Background(self, self, "remote", casual=True)
        return self._background.wait(question)

    # -- answering ------------------------------------------------------------------------------------------------

    async def apredict(
        self, prefixes: Sequence[Prefix], disclose: Disclosure | Sequence[Disclosure] = CHEAP
    ) -> list[Answer]:
        """See `AsyncAdapter.apredict`. A prefix that cannot be answered gets its own error.

        Raises:
            AdapterError: the adapter is closed, or the server cannot be contacted (see `connect`).
        """
        if self._closed:
            raise AdapterError(f"the adapter for {self._transport.base_url} is closed")
        await self.connect()
        assert self._connection is not None
        wants = for_each(disclose, len(prefixes))
        answers = await self._guarded(self._connection.predict(prefixes, wants))
        clean = self._transport.redaction.error
        return [clean(answer) if isinstance(answer, DecodekitError) else answer for answer in answers]

    def cached_tokens(self, prefix: Prefix) -> int | None:
        """How many tokens of a prefix were in the server's cache, as it reported last; None where it did not."""
        return None if self._connection is None else self._connection.answers.cached_tokens(prefix)

    def forget(self) -> None:
        """Ask the server again for whatever is asked next: its stored answers are not used any more."""
        if self._connection is not None:
            self._connection.forget()

    def fitness(self, *, drawn: bool = False) -> list[Fitness]:
        """What the server is known to do and not to do, where it draws or not. Nothing is asked."""
        return self._require_connection().fitness(drawn=drawn)

    def must_draw(self, tokens: int, conversation: bool = False) -> str:
        """Why the server has to draw an answer of so many tokens, to a conversation or not; '' where decodekit can."""
        return self._require_connection().must_draw(tokens, conversation)

    def drawing(self, terms: Terms) -> Drawing:
        """The answers of one run that the server draws: ``sampler = "provider"``.

        Raises:
            ParameterError: the server has no parameters with the law of this chain, or its dialect does not draw.
        """
        connection = self._require_connection()
        talking = connection.talking if terms.conversation else None
        return ServerDrawn(talking or connection, terms, self._engine, self._guarded)

    async def aclose(self) -> None:
        """Close streams and connections, to the end if it is cancelled meanwhile. Closing twice does nothing."""
        self._closed = True
        await running().to_the_end(self._close)

    async def _close(self) -> None:
        if self._connection is not None:
            await self._connection.aclose()
        await self._transport.aclose()
        background, self._background = self._background, None
        if background is not None:
            background.close()
        owned, self._owned = self._owned, None
        if owned is not None:
            owned.close()

    async def _guarded(self, question: Awaitable[Value]) -> Value:
        """All errors leave through here: without the key, and without a chained exception that holds it."""
        try:
            return await question
        except DecodekitError as error:
            failed: DecodekitError = self._transport.redaction.error(self._named(error))
        except Exception as error:  # for example from a client of the user
            message = self._transport.redaction.text(f"{type(error).__name__}: {error}")
            failed = AdapterError(f"{self._transport.base_url} could not be asked: {message}")
        raise failed

    def _named(self, error: DecodekitError) -> DecodekitError:
        """The error of a server that misses the name of a model, with the way out."""
        known = self._model or (self._connection.server.info.model if self._connection is not None else "")
        if not known and isinstance(error, Refused | ModelNotFound) and _NO_MODEL.search(str(error)):
            return type(error)(f"{error}; this server lists no models, so name one with model=")
        return error


def _inside_an_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _key_from(variable: str | None) -> SecretStr | None:
    if variable is None:
        return None
    value = os.environ.get(variable, "").strip()
    if not value:
        raise ConfigError(f"api_key_env: the environment variable {variable} is not set")
    return SecretStr(value)
