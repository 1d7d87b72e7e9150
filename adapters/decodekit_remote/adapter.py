"""`RemoteAdapter`: answers prefixes with the logprobs of a server, and keeps what it was told ahead of being asked."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from importlib.metadata import version
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, SecretStr

from decodekit.distribution.disclosure import ALL, CHEAP, Disclosure, for_each
from decodekit.errors import AdapterError, ConfigError, ParameterError, ProviderError
from decodekit.model.adapter import AdapterInfo, Answer
from decodekit.model.prefix import Prefix
from decodekit.plugin import parameter_model, validated
from decodekit.text.tokenizer import Tokenizer
from decodekit_remote.asking import Asking
from decodekit_remote.dialect import Facts, Prefill
from decodekit_remote.keeping import Answers
from decodekit_remote.naming import named_tokenizer
from decodekit_remote.pace import Pace
from decodekit_remote.probing import Found, dialect_named, meet
from decodekit_remote.server import Server
from decodekit_remote.server_tokenizer import ServerTokenizer
from decodekit_remote.streams import Row, Streams
from decodekit_remote.transport import Transport
from decodekit_remote.vocabulary import HashedVocabulary, KnownVocabulary, Vocabulary
from decodekit_remote.width import Width

__all__ = ["RemoteAdapter"]

Value = TypeVar("Value")


class RemoteAdapter:
    """A model behind a server that tells logprobs. An `AsyncAdapter`; sessions see it through a blocking facade.

    One greedy request brings several tokens, each with its list. They are the answers for the prefixes that go on so,
    and are kept for when those are asked: draws are made here, and a draft that guessed wrong costs time and nothing
    else.

    Args:
        base_url: where the server is; a trailing ``/v1`` may stay.
        dialect: what it speaks, by name, or ``auto`` to find out; in code, a `Dialect` of your own.
        model: the model to ask for; the server's first by default.
        tokenizer: names tokens where the server shows texts: a folder with a ``tokenizer.json``, that file, a GGUF file
            or a model package's name, or in code any `Tokenizer`. Without one a token is its bytes, with a hash for an
            id.
        api_key_env: the name of the environment variable that holds the key.
        draft: how many tokens a question asks for: a number, ``stream`` to let the server run and stop it at the first
            other draw, or ``auto`` to adapt to what is measured.
        top: how many of the likeliest tokens are asked for as a rule; by default what the dialect gives cheaply, and
            more once that was often too little.
        deadline: seconds for a question in all.
        attempts: how often a question is asked at most.
        concurrency: questions in flight, and sequences a session keeps going at once.
        prefill: how this server goes on in the middle of the assistant's words (openai_chat).
        probe: whether to ask two or three single tokens first, to see what can be had and whether values are raw.
        client: in code, a function that makes an `httpx.AsyncClient`, called in each event loop; or a client, which
            stays yours to close and serves the first event loop only, so no probe.
        transport: in code, the same for an `httpx.AsyncBaseTransport` to send through.

    Raises:
        ParameterError: a parameter is out of range.
        ConfigError: the variable is not set, there is no such dialect, or the tokenizer is none or another model's.
        ProviderError: the server does not answer, refuses, or gives no logprobs.
    """

    def __init__(
        self,
        *,
        base_url: Annotated[str, Field(min_length=1, max_length=2048)],
        dialect: Any = "auto",
        model: Annotated[str, Field(min_length=1, max_length=512)] | None = None,
        tokenizer: Any = None,
        api_key_env: Annotated[str, Field(max_length=4096)] | None = None,
        draft: Annotated[int, Field(ge=1, le=64)] | Literal["auto", "stream"] = "auto",
        top: Annotated[int, Field(ge=1, le=1_000_000)] | None = None,
        deadline: Annotated[float, Field(gt=0, le=3600)] = 60.0,
        attempts: Annotated[int, Field(ge=1, le=20)] = 5,
        concurrency: Annotated[int, Field(ge=1, le=1024)] = 16,
        prefill: Prefill = "no",
        probe: bool = True,
        client: Any = None,
        transport: Any = None,
    ) -> None:
        given = {key: value for key, value in locals().items() if key != "self"}
        validated(parameter_model(type(self)), given, "adapter 'remote'")
        self._transport = Transport(
            base_url.rstrip("/").removesuffix("/v1"),
            key=_key_from(api_key_env),
            deadline=deadline,
            attempts=attempts,
            concurrency=concurrency,
            client=client,
            transport=transport,
        )
        self._concurrency = concurrency
        self._closed = False
        chosen = dialect_named(dialect) if isinstance(dialect, str) and dialect != "auto" else dialect
        if chosen == "auto" or probe:
            chosen = None if chosen == "auto" else chosen
            found = self._apart(lambda aside: meet(aside, chosen, model, probe=True))
        else:
            found = _unmet(chosen, model)
        self._probed = found.probed
        self._server = self._met(found, tokenizer, prefill)
        capabilities = self._server.capabilities
        most = capabilities.most_top
        grows = top is None and not capabilities.distinct_keys  # longer lists make more texts fall together there
        usual = min(top or capabilities.usual_top, most)
        self._width = Width(usual, most if grows else usual)
        if self._width.top < 1:
            raise ProviderError(f"dialect {found.dialect.name!r} lists no tokens")
        if draft == "stream" and not capabilities.stream:
            raise ParameterError(f"draft: dialect {found.dialect.name!r} cannot stream")
        fixed = draft if isinstance(draft, int) else None
        self._pace = Pace(fixed if capabilities.draft else 1, longest=64 if fixed else 32)
        self._answers = Answers(self._server, self._pace)
        always = None if fixed else draft == "stream"
        at_once = min(concurrency, found.facts.places or concurrency)
        self._streams = Streams(self._server, self._answers, self._pace, most=at_once, always=always)
        self._asking = Asking(
            self._server, self._answers, self._streams, self._pace, self._width, adapts=draft == "auto"
        )
        self._info = self._describe()

    # -- what it is -----------------------------------------------------------------------------------------------

    @property
    def info(self) -> AdapterInfo:
        """What this adapter is."""
        return self._info

    @property
    def tokenizer(self) -> Tokenizer | None:
        """The one that was named, the server's own, or the bytes themselves."""
        return self._server.tokenizer

    @property
    def capabilities(self) -> Mapping[str, Any]:
        """What the server can do, by name, and how that is known."""
        known = {
            key: value
            for key, value in asdict(self._server.capabilities).items()
            if key not in ("impossible", "untold")
        }
        how = "seen in a probe" if self._probed else "as declared by the dialect"
        return {"dialect": self._server.dialect.name, "known": how, **known}

    @property
    def measured(self) -> Mapping[str, float]:
        """Requests so far, draws that followed a draft and that did not, and the costs in seconds that set the pace."""
        trip, token = self._pace.costs or (0.0, 0.0)
        pace = self._pace
        told = {"requests": self._transport.requests, "bets": pace.bets, "hits": pace.hits}
        told |= {"draft": pace.length, "top": self._width.top}
        return {**told, "acceptance": pace.acceptance, "trip_s": trip, "token_s": token}

    def __repr__(self) -> str:
        return f"RemoteAdapter(base_url={self._transport.base_url!r}, dialect={self._server.dialect.name!r})"

    def _describe(self) -> AdapterInfo:
        facts, capabilities = self._server.facts, self._server.capabilities
        whole = bool(capabilities.whole_vocabulary)
        named = Disclosure(top=capabilities.most_top)
        if capabilities.named_ids and not whole:
            named = replace(named, ids=())
        return AdapterInfo(
            name="remote",
            model=facts.model,
            model_fingerprint="",
            tokenizer_fingerprint="" if self._server.tokenizer is None else self._server.tokenizer.fingerprint,
            vocab_size=self._server.vocab_size,
            context_length=self._server.longest,
            cheap=Disclosure(top=self._width.top),
            most=ALL if whole else named,
            stage=capabilities.stage,
            origin="logprobs",
            deterministic=False,
            versions={
                "dialect": self._server.dialect.name,
                "httpx": version("httpx"),
                **({"server": facts.build} if facts.build else {}),
            },
            concurrency=self._concurrency,
        )

    def _met(self, found: Found, tokenizer: Any, prefill: Prefill) -> Server:
        capabilities = replace(found.capabilities, prefill=prefill)
        named, self._owned = named_tokenizer(tokenizer, found.facts.vocab_size)
        vocabulary: Vocabulary | None = None
        if capabilities.ids_in and capabilities.ids_out:
            if named is None and found.facts.tokenizes:
                named = ServerTokenizer(found.dialect, self._ask_and_wait, found.facts)
        else:
            talks = capabilities.conversations
            if named is None:
                vocabulary = HashedVocabulary(conversations=talks)
            else:
                vocabulary = KnownVocabulary(named, capabilities.lossy, conversations=talks)
            named = vocabulary.tokenizer
        server = Server(
            self._transport, found.dialect, found.facts, capabilities, vocabulary, named, found.temperature, prefill
        )
        size = server.vocab_size
        if size is None:
            return server
        return replace(server, capabilities=replace(capabilities, most_top=min(capabilities.most_top, size)))

    def _ask_and_wait(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._apart(lambda aside: aside.ask(path, body, last=True))

    def _apart(self, question: Callable[[Transport], Coroutine[Any, Any, Value]]) -> Value:
        """Something asked and waited for, in a loop of its own beside whatever loop is running here."""

        async def asked() -> Value:
            aside = self._transport.aside()
            try:
                return await question(aside)
            finally:
                await aside.aclose()

        with ThreadPoolExecutor(1) as pool:
            return pool.submit(lambda: asyncio.run(asked())).result()

    # -- answering ------------------------------------------------------------------------------------------------

    async def apredict(
        self, prefixes: Sequence[Prefix], disclose: Disclosure | Sequence[Disclosure] = CHEAP
    ) -> list[Answer]:
        """See `AsyncAdapter.apredict`. A prefix that cannot be answered gets its own error.

        Raises:
            AdapterError: the adapter is closed.
        """
        if self._closed:
            raise AdapterError(f"the adapter for {self._transport.base_url} is closed")
        self._streams.enter_loop()
        wants = for_each(disclose, len(prefixes))
        reachable = self._server.reachable
        rows: dict[bytes, Row] = {}
        for prefix, want in zip(prefixes, wants, strict=True):
            asked = rows.get(prefix.digest)
            least = reachable(want, 1)
            rows[prefix.digest] = Row(prefix, least if asked is None else reachable(asked.want | least, 1))
        found: dict[bytes, Answer] = {}
        fresh: list[Row] = []
        for digest, row in rows.items():
            self._answers.observe(row.prefix)
            kept = self._answers.of(digest)
            if kept is not None and kept.covers(row.want):
                found[digest] = kept.answer
            else:
                fault = self._server.fault(row.prefix)
                if fault is None:
                    self._width.answered(short=self._answers.was_given(digest))
                    fresh.append(replace(row, want=reachable(row.want, self._width.top)))
                else:
                    found[digest] = fault
        self._streams.crowded = len(fresh) > self._streams.most
        if fresh:
            await self._streams.drop_strays(rows)
            found |= dict(await self._asking.ask_all(fresh))
        self._answers.give(found)
        return [found[prefix.digest] for prefix in prefixes]

    async def aclose(self) -> None:
        """Close streams and connections. Closing twice does nothing."""
        self._closed = True
        await self._streams.aclose()
        await self._transport.aclose()
        self._answers.clear()
        owned, self._owned = self._owned, None
        if owned is not None:
            owned.close()


def _unmet(dialect: Any, model: str | None) -> Found:
    capabilities = dialect.capabilities
    if capabilities.whole_vocabulary is None:
        capabilities = replace(capabilities, whole_vocabulary=False)
    return Found(dialect, Facts(model=model or ""), capabilities)


def _key_from(variable: str | None) -> SecretStr | None:
    if variable is None:
        return None
    if not re.fullmatch("[A-Z_][A-Z0-9_]{0,127}", variable):  # it may be a key by mistake, so it is not repeated
        raise ParameterError("api_key_env: the name of an environment variable, in capitals; never the key itself")
    value = os.environ.get(variable, "").strip()
    if not value:
        raise ConfigError(f"api_key_env: the environment variable {variable} is not set")
    return SecretStr(value)
