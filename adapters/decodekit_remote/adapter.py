"""`RemoteAdapter`: answers prefixes with the logprobs of a server, and keeps what it was told ahead of being asked."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, SecretStr

from decodekit.disclosure import ALL, CHEAP, Disclosure
from decodekit.distribution import Distribution
from decodekit.errors import (
    AdapterError,
    ConfigError,
    ContextOverflow,
    DecodekitError,
    DistributionError,
    ParameterError,
    ProviderError,
)
from decodekit.log import get_logger
from decodekit.plugin import parameter_model, validated
from decodekit.prefix import Prefix
from decodekit.protocols import AdapterInfo, Answer, Tokenizer
from decodekit_remote.dialect import Capabilities, Facts, Position, Question, Reply
from decodekit_remote.heads import distribution, is_repeated
from decodekit_remote.live import Live
from decodekit_remote.naming import named_tokenizer
from decodekit_remote.pace import Pace
from decodekit_remote.probing import Found, dialect_named, meet, read_event, read_reply
from decodekit_remote.refusals import Refused
from decodekit_remote.server_tokenizer import ServerTokenizer
from decodekit_remote.transport import Transport
from decodekit_remote.vocabulary import HashedVocabulary, KnownVocabulary, Vocabulary
from decodekit_remote.width import Width

__all__ = ["RemoteAdapter"]

Value = TypeVar("Value")

_MOST_KEPT = 2_000_000  # numbers in the answers kept for later
_LONGEST_STREAM = 64  # tokens a stream may run
_BATCH = 32  # prompts in one request


@dataclass(frozen=True, slots=True)
class _Kept:
    """An answer, and what it may be asked for."""

    answer: Distribution
    shown: Disclosure

    def covers(self, want: Disclosure) -> bool:
        if self.shown.covers(want):
            return True
        if want.kind != "named" or not self.shown.covers(Disclosure(want.top)) or self.answer.token_ids is None:
            return False
        return set(want.ids) <= set(self.answer.token_ids.tolist())


@dataclass(frozen=True, slots=True)
class _Row:
    prefix: Prefix
    want: Disclosure

    @property
    def plain(self) -> bool:
        return self.want.kind == "named" and not self.want.ids


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
        prefill: Literal["no", "last_message", "continue_final_message", "prefix"] = "no",
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
        self._prefill = prefill
        self._closed = False
        self._last: dict[bytes, _Kept] = {}
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._kept_numbers = 0
        self._bets: OrderedDict[bytes, bytes] = OrderedDict()
        self._holes: set[bytes] = set()
        self._lives: list[Live] = []
        self._crowded = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._seen_model: str | None = None
        self._seen_build: str | None = None
        chosen = dialect_named(dialect) if isinstance(dialect, str) and dialect != "auto" else dialect
        if chosen == "auto" or probe:
            chosen = None if chosen == "auto" else chosen
            found = self._apart(lambda aside: meet(aside, chosen, model, probe=True))
        else:
            found = _unmet(chosen, model)
        self._found: Found = found
        self._dialect = found.dialect
        self._capabilities: Capabilities = replace(found.capabilities, prefill=prefill)
        self._vocabulary, self._tokenizer = self._naming(tokenizer)
        self._capabilities = self._within_vocabulary(self._capabilities)
        most = self._capabilities.most_top
        self._width = Width(min(top or self._capabilities.usual_top, most), most if top is None else top)
        if self._width.top < 1:
            raise ProviderError(f"dialect {self._dialect.name!r} lists no tokens")
        self._streaming = draft == "stream"
        if self._streaming and not self._capabilities.stream:
            raise ParameterError(f"draft: dialect {self._dialect.name!r} cannot stream")
        fixed = draft if isinstance(draft, int) else None
        self._adapts = draft == "auto"
        self._pace = Pace(fixed if self._capabilities.draft else 1, longest=64 if fixed else 32)
        self._model, self._build = found.facts.model, found.facts.build
        self._info = self._describe()

    # -- what it is -----------------------------------------------------------------------------------------------

    @property
    def info(self) -> AdapterInfo:
        """What this adapter is."""
        return self._info

    @property
    def tokenizer(self) -> Tokenizer | None:
        """The one that was named, the server's own, or the bytes themselves."""
        return self._tokenizer

    @property
    def capabilities(self) -> Mapping[str, Any]:
        """What the server can do, by name, and how that is known."""
        known = {key: value for key, value in asdict(self._capabilities).items() if key not in ("impossible", "untold")}
        how = "seen in a probe" if self._found.probed else "as declared by the dialect"
        return {"dialect": self._dialect.name, "known": how, **known}

    @property
    def measured(self) -> Mapping[str, float]:
        """Requests so far, draws that followed a draft and that did not, and the costs in seconds that set the pace."""
        trip, token = self._pace.costs or (0.0, 0.0)
        pace = self._pace
        told = {"requests": self._transport.requests, "bets": pace.bets, "hits": pace.hits}
        told |= {"draft": pace.length, "top": self._width.top}
        return {**told, "acceptance": pace.acceptance, "trip_s": trip, "token_s": token}

    def __repr__(self) -> str:
        return f"RemoteAdapter(base_url={self._transport.base_url!r}, dialect={self._dialect.name!r})"

    def _describe(self) -> AdapterInfo:
        facts, capabilities = self._found.facts, self._capabilities
        longest = facts.context_length
        whole = bool(capabilities.whole_vocabulary)
        named = Disclosure(top=capabilities.most_top)
        if capabilities.named_ids and not whole:
            named = replace(named, ids=())
        return AdapterInfo(
            name="remote",
            model=facts.model,
            model_fingerprint="",
            tokenizer_fingerprint="" if self._tokenizer is None else self._tokenizer.fingerprint,
            vocab_size=self._vocab_size,
            context_length=None if longest is None else longest - 1,  # a server needs room for the token it answers
            cheap=Disclosure(top=self._width.top),
            most=ALL if whole else named,
            stage=capabilities.stage,
            origin="logprobs",
            deterministic=False,
            versions={
                "dialect": self._dialect.name,
                "httpx": version("httpx"),
                **({"server": facts.build} if facts.build else {}),
            },
            concurrency=self._concurrency,
        )

    def _within_vocabulary(self, capabilities: Capabilities) -> Capabilities:
        size = self._vocab_size
        return capabilities if size is None else replace(capabilities, most_top=min(capabilities.most_top, size))

    @property
    def _vocab_size(self) -> int | None:
        known = self._vocabulary.tokenizer.vocab_size if isinstance(self._vocabulary, KnownVocabulary) else None
        return self._found.facts.vocab_size or known

    def _naming(self, given: Any) -> tuple[Vocabulary | None, Tokenizer | None]:
        capabilities = self._capabilities
        given, self._owned = named_tokenizer(given, self._found.facts.vocab_size)
        if capabilities.ids_in and capabilities.ids_out:
            if given is None and self._found.facts.tokenizes:
                given = ServerTokenizer(self._dialect, self._ask_and_wait, self._found.facts)
            return None, given
        if given is None:
            hashed = HashedVocabulary(conversations=capabilities.conversations)
            return hashed, hashed
        known = KnownVocabulary(given, capabilities.lossy, conversations=capabilities.conversations)
        return known, known.tokenizer

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
        self._enter_loop()
        wants = [disclose] * len(prefixes) if isinstance(disclose, Disclosure) else list(disclose)
        rows: dict[bytes, _Row] = {}
        for prefix, want in zip(prefixes, wants, strict=True):
            asked = rows.get(prefix.digest)
            least = self._reachable(want, 1)
            rows[prefix.digest] = _Row(prefix, least if asked is None else self._reachable(asked.want | least, 1))
        found: dict[bytes, Answer] = {}
        fresh: list[_Row] = []
        for digest, row in rows.items():
            self._observe(row.prefix)
            kept = self._last.get(digest) or self._kept.get(digest)
            if kept is not None and kept.covers(row.want):
                found[digest] = kept.answer
            else:
                fault = self._fault(row.prefix)
                if fault is None:
                    self._width.answered(short=digest in self._last)
                    fresh.append(replace(row, want=self._reachable(row.want, self._width.top)))
                else:
                    found[digest] = fault
        self._crowded = len(fresh) > self._concurrency
        if fresh:
            await self._drop_strays(rows)
            found |= dict(await self._ask_all(fresh))
        self._last = {
            digest: kept
            for digest in rows
            if (kept := self._kept.get(digest) or self._last.get(digest)) is not None and kept.answer is found[digest]
        }
        return [found[prefix.digest] for prefix in prefixes]

    async def aclose(self) -> None:
        """Close streams and connections. Closing twice does nothing."""
        self._closed = True
        lives, self._lives = self._lives, []
        for live in lives:
            await live.aclose()
        await self._transport.aclose()
        self._last, self._kept, self._kept_numbers = {}, OrderedDict(), 0
        owned, self._owned = self._owned, None
        if owned is not None:
            owned.close()

    def _enter_loop(self) -> None:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._lives = loop, []  # streams ended with their loop

    def _reachable(self, want: Disclosure, usual: int) -> Disclosure:
        """What is asked of the server for this: never less than ``usual``, and never more than it can."""
        capabilities = self._capabilities
        by_name = len(want.ids) + (want.top or 0) if want.ids else 0  # the head is asked for by name with them
        if capabilities.whole_vocabulary and (want.kind == "all" or by_name > capabilities.named_ids):
            return ALL
        if want.kind == "all" or (want.ids and not capabilities.named_ids):
            usual = capabilities.most_top if want.kind == "all" else usual
            return Disclosure(min(max(want.top or 0, usual), capabilities.most_top))
        return Disclosure(min(max(want.top or 0, usual), capabilities.most_top), want.ids)

    def _fault(self, prefix: Prefix) -> DecodekitError | None:
        if len(prefix) == 0:
            return ParameterError("there is nothing to predict from: the prefix is empty")
        longest = self._info.context_length
        if longest is not None and len(prefix) > longest and self._vocabulary is None:
            return ContextOverflow(f"a prefix of {len(prefix)} tokens does not fit a context of {longest}")
        size = self._vocab_size
        if size is None or not prefix.since(0).max() >= size:
            return None
        return ParameterError(f"token id {int(prefix.since(0).max())} lies outside the vocabulary of {size} tokens")

    def _observe(self, prefix: Prefix) -> None:
        """Learn from a prefix whether its last token is what the server had gone on with."""
        parent = prefix.parent
        child = None if parent is None else self._bets.get(parent.digest)
        if child is not None and prefix.digest not in self._last:
            self._pace.drawn(child == prefix.digest)

    async def _drop_strays(self, rows: Mapping[bytes, _Row]) -> None:
        """Close the streams that nobody here follows and that were left behind, and as many as hold a needed place."""
        idle = [live for live in self._lives if not any(live.leads_to(row.prefix) for row in rows.values())]
        room = self._concurrency - len(rows)
        for live in idle:
            leaving = next((row.prefix for row in rows.values() if live.left_by(row.prefix)), None)
            if leaving is not None:
                self._pace.followed(*live.worth(leaving))
            if live.ended or len(self._lives) > room or leaving is not None:
                await self._end(live)

    async def _end(self, live: Live) -> None:
        if live in self._lives:
            self._lives.remove(live)
            await live.aclose()

    async def _ask_all(self, fresh: list[_Row]) -> list[tuple[bytes, Answer]]:
        """Rows in as few requests as the server allows."""
        chains, rest = self._chains(fresh)
        alone = [row for row in rest if not row.plain or not self._capabilities.batch or self._led(row)]
        together = [row for row in rest if row not in alone]
        if len(together) == 1:
            alone, together = alone + together, []
        questions: list[Coroutine[Any, Any, list[tuple[bytes, Answer]]]] = [self._ask_chain(chain) for chain in chains]
        questions += [self._ask_batch(together[at : at + _BATCH]) for at in range(0, len(together), _BATCH)]
        questions += [self._ask_alone(row) for row in alone]
        answers = await asyncio.gather(*questions)
        return [answer for some in answers for answer in some]

    # -- one prefix -----------------------------------------------------------------------------------------------

    async def _ask_alone(self, row: _Row) -> list[tuple[bytes, Answer]]:
        try:
            return [(row.prefix.digest, await self._answer(row))]
        except DecodekitError as error:
            return [(row.prefix.digest, error)]

    async def _answer(self, row: _Row) -> Distribution:
        prefix, want = row.prefix, row.want
        for ahead in [live for live in self._lives if live.leads_to(prefix) and live is not self._led(row)]:
            await self._end(ahead)  # a server with one place would run it to its end before it answers this
        if not row.plain:
            return await self._everything(row) if want.kind == "all" else await self._by_name(row)
        top = want.top or self._width.top
        live = self._led(row)
        if live is None and self._should_stream(prefix):
            live = self._open_stream(prefix, top)
        if live is not None:
            followed = await self._follow(live, row)
            if followed is not None:
                return followed
        begun = time.perf_counter()
        question = self._question([prefix], top, tokens=self._length(prefix))
        (reply,) = await self._put(question)
        if reply.positions and self._adapts:
            self._pace.took(len(reply.positions), time.perf_counter() - begun)
        return await self._take(prefix, reply, question)

    async def _take(self, prefix: Prefix, reply: Reply, question: Question) -> Distribution:
        """Keep a reply's lists for the prefixes they are for, and give the first."""
        if not reply.positions:
            return await self._heal(prefix, reply, question)
        at: Prefix | None = prefix
        positions = reply.positions
        if question.force is not None:
            if positions[0].chosen != question.force:
                raise ProviderError(f"{self._transport.base_url} was forced to token {question.force} and did not obey")
            positions = [_unchosen(positions[0])]
        for place, position in enumerate(positions):
            if place and is_repeated(positions[place - 1], position):
                raise DistributionError("the server gave one list for two positions, to the bit: it repeats the first")
            if at is None:
                break
            try:
                at = self._keep(at, position, question, place, reply)
            except DecodekitError:
                if place == 0:
                    raise
                break  # it will be asked for by itself, and then it is that prefix's error
        if reply.cut and at is not None:
            self._holes.add(at.digest)
        return self._kept[prefix.digest].answer

    async def _heal(self, prefix: Prefix, reply: Reply, question: Question) -> Distribution:
        """A list that is missing because its token ends inside a character comes when another token is forced."""
        filler = self._found.facts.filler
        if not self._capabilities.forces or filler is None or question.force is not None:
            raise ProviderError(
                f"{self._transport.base_url} went on without a list of logprobs for its first token: the text may end "
                "here, and the server does not tell how likely that is"
            )
        self._holes.add(prefix.digest)
        forced = self._question([prefix], question.top)
        (again,) = await self._put(forced)
        return await self._take(prefix, again, forced)

    async def _everything(self, row: _Row) -> Distribution:
        question = replace(self._question([row.prefix], self._width.top), everything=True)
        (reply,) = await self._put(question)
        return await self._take(row.prefix, reply, question)

    async def _by_name(self, row: _Row) -> Distribution:
        """Named ids come with the head's own, so that one answer holds both."""
        head = self._last.get(row.prefix.digest) or self._kept.get(row.prefix.digest)
        if head is None or head.answer.token_ids is None:
            first = await self._answer(replace(row, want=Disclosure(row.want.top)))
        else:
            first = head.answer
        ids = first.token_ids
        assert ids is not None and first.tail is not None
        asked = list(dict.fromkeys([*row.want.ids, *ids.tolist()]))
        if len(asked) > self._capabilities.named_ids:
            asked = asked[: self._capabilities.named_ids]
        question = replace(self._question([row.prefix], len(asked)), named=tuple(asked))
        (reply,) = await self._put(question)
        if not reply.positions:
            return first
        bound = first.tail.max_logprob
        if set(ids.tolist()) - set(asked):  # the head did not fit beside them
            bound = max(bound or 0.0, float(first.logprobs.max()))
        self._keep(row.prefix, reply.positions[0], question, 0, reply, bound=bound)
        return self._kept[row.prefix.digest].answer

    def _keep(
        self,
        prefix: Prefix,
        position: Position,
        question: Question,
        place: int,
        reply: Reply,
        *,
        bound: float | None = None,
    ) -> Prefix | None:
        """Make and store the answer of a prefix; the prefix that the server went on to."""
        schedule: dict[str, int | str] = {"place": place}
        self._recognise(reply, schedule)
        if isinstance(self._vocabulary, KnownVocabulary) and place == 0 and reply.prompt_tokens is not None:
            self._compare_lengths(prefix, reply.prompt_tokens, schedule)
        answer = distribution(
            position,
            question,
            self._capabilities,
            vocabulary=self._vocabulary,
            vocab_size=self._vocab_size,
            stage=self._capabilities.stage,
            schedule=schedule,
            bound=bound,
        )
        if isinstance(self._vocabulary, HashedVocabulary) and answer.token_ids is not None:
            schedule["tokens"] = self._vocabulary.table(answer.token_ids.tolist())
        if isinstance(self._tokenizer, ServerTokenizer):
            self._tokenizer.learn(position.pieces)
        shown = ALL if answer.tail is None else Disclosure(question.top, question.named)
        self._store(prefix.digest, _Kept(answer, shown))
        chosen = position.chosen
        if chosen is None:
            return None
        (token,) = [chosen] if self._vocabulary is None else self._vocabulary.identify([chosen])
        if not isinstance(token, int):
            return None
        child = prefix.extend([token])
        if question.temperature is None:
            self._bets[prefix.digest] = child.digest
            if len(self._bets) > 10_000:
                self._bets.popitem(last=False)
        return child

    def _store(self, digest: bytes, kept: _Kept) -> None:
        gone = self._kept.pop(digest, None)
        self._kept_numbers -= 0 if gone is None else len(gone.answer.scores)
        self._kept[digest] = kept
        self._kept_numbers += len(kept.answer.scores)
        while self._kept_numbers > _MOST_KEPT and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._kept_numbers -= len(oldest.answer.scores)

    def _recognise(self, reply: Reply, schedule: dict[str, int | str]) -> None:
        """Notice another model or another build than the run began with."""
        if reply.model:
            if self._seen_model not in (None, reply.model):
                raise ProviderError(
                    f"{self._transport.base_url} answers as {reply.model!r}, and began as {self._seen_model!r}: the "
                    "model was swapped"
                )
            self._seen_model = reply.model
        if reply.build and reply.build != self._seen_build:
            if self._seen_build is not None:
                get_logger().warning("the server's build changed", was=self._seen_build, now=reply.build)
                schedule["build"] = reply.build
            self._seen_build = reply.build

    def _compare_lengths(self, prefix: Prefix, counted: int, schedule: dict[str, int | str]) -> None:
        """Notice that a server made other tokens of a text than those it was put together from."""
        assert self._tokenizer is not None
        bos = self._tokenizer.bos_id
        own = len(prefix) - (bos is not None and int(prefix.since(0)[0]) == bos)
        if counted not in (own, own + (bos is not None)):
            schedule["retokenised_as"] = counted
            get_logger().warning("the server tokenised the text another way", ours=own, theirs=counted)

    # -- questions ------------------------------------------------------------------------------------------------

    def _question(self, prefixes: Sequence[Prefix], top: int, *, tokens: int = 1) -> Question:
        known = self._tokenizer if isinstance(self._vocabulary, KnownVocabulary) else None
        forced = self._found.facts.filler if len(prefixes) == 1 and prefixes[0].digest in self._holes else None
        return Question(
            tuple(
                prefix.token_ids if self._vocabulary is None else self._vocabulary.prompt_of(prefix)
                for prefix in prefixes
            ),
            top=top,
            tokens=1 if forced is not None else tokens,
            force=forced,
            temperature=self._found.temperature,
            model=self._model or None,
            unwanted=() if known is None else tuple(sorted(known.eos_ids)),
            prefill=self._prefill,
        )

    async def _put(self, question: Question) -> list[Reply]:
        path, body = self._dialect.request(question)
        where = f"{self._transport.base_url}{path}"
        return read_reply(self._dialect, where, await self._transport.ask(path, body), question)

    def _length(self, prefix: Prefix) -> int:
        longest = self._info.context_length
        length = self._pace.length
        return length if longest is None else max(1, min(length, longest + 1 - len(prefix)))

    async def _ask_batch(self, rows: Sequence[_Row]) -> list[tuple[bytes, Answer]]:
        """Several prompts in one request; one by one if it is refused, to see which of them is at fault."""
        top = max(row.want.top or self._width.top for row in rows)
        length = min(self._length(row.prefix) for row in rows)
        question = self._question([row.prefix for row in rows], top, tokens=length)
        try:
            replies = await self._put(question)
        except AdapterError as error:
            if isinstance(error, Refused) and error.status not in (400, 413, 422):
                return [(row.prefix.digest, error) for row in rows]
            return [answer for some in await asyncio.gather(*map(self._ask_alone, rows)) for answer in some]
        return list(
            await asyncio.gather(
                *(self._taken(row.prefix, reply, question) for row, reply in zip(rows, replies, strict=True))
            )
        )

    async def _taken(self, prefix: Prefix, reply: Reply, question: Question) -> tuple[bytes, Answer]:
        try:
            return prefix.digest, await self._take(prefix, reply, question)
        except DecodekitError as error:
            return prefix.digest, error

    def _chains(self, rows: list[_Row]) -> tuple[list[list[_Row]], list[_Row]]:
        """Rows that are ancestors of one another, shortest first, where one request can score them all."""
        if not self._capabilities.echo or len(rows) < 2:
            return [], rows
        plain = {row.prefix.digest: row for row in rows if row.plain and self._led(row) is None}
        chains = []
        for row in sorted(plain.values(), key=lambda row: -len(row.prefix)):
            if row.prefix.digest not in plain:
                continue
            at, chain = Prefix(), []
            for token in row.prefix.token_ids:
                at = at.extend([token])
                if at.digest in plain:
                    chain.append(plain[at.digest])
            if len(chain) > 1:
                chains.append(chain)
                for each in chain:
                    del plain[each.prefix.digest]
        placed = {each.prefix.digest for chain in chains for each in chain}
        return chains, [row for row in rows if row.prefix.digest not in placed]

    async def _ask_chain(self, chain: list[_Row]) -> list[tuple[bytes, Answer]]:
        longest = chain[-1].prefix
        top = max(row.want.top or self._width.top for row in chain)
        question = replace(self._question([longest], top), echo=True)
        try:
            (reply,) = await self._put(question)
            if len(reply.prompt) != len(longest) - 1 or not reply.positions:
                raise ProviderError(
                    f"{self._transport.base_url} scored {len(reply.prompt)} of {len(longest) - 1} tokens"
                )
        except DecodekitError:  # a bad row ends alone: ask them one by one
            return [answer for some in await asyncio.gather(*map(self._ask_alone, chain)) for answer in some]
        answers: list[tuple[bytes, Answer]] = []
        for row in chain:
            listed = reply.positions[0] if row.prefix == longest else reply.prompt[len(row.prefix) - 1]
            if listed is None:
                answers += await self._ask_alone(row)
                continue
            position = listed if row.prefix == longest else _unchosen(listed)
            try:
                self._keep(row.prefix, position, question, 0, reply)
                answers.append((row.prefix.digest, self._kept[row.prefix.digest].answer))
            except DecodekitError as error:
                answers.append((row.prefix.digest, error))
        return answers

    # -- streams --------------------------------------------------------------------------------------------------

    def _led(self, row: _Row) -> Live | None:
        return next((live for live in self._lives if live.tip == row.prefix and (row.want.top or 0) <= live.top), None)

    def _should_stream(self, prefix: Prefix) -> bool:
        if not self._capabilities.stream or prefix.digest in self._holes or self._length(prefix) < 2 - self._streaming:
            return False
        if self._crowded or len(self._lives) >= self._concurrency:
            return False
        return self._streaming or (self._adapts and self._pace.streams)

    def _open_stream(self, prefix: Prefix, top: int) -> Live:
        longest = self._info.context_length
        room = _LONGEST_STREAM if longest is None else min(_LONGEST_STREAM, longest + 1 - len(prefix))
        question = replace(self._question([prefix], top, tokens=max(1, room)), stream=True)
        path, body = self._dialect.request(question)
        where = f"{self._transport.base_url}{path}"

        def keep(at: Prefix, position: Position, reply: Reply, place: int) -> Prefix | None:
            return self._keep(at, position, question, place, reply)

        live = Live(self._transport.events(path, body), partial(read_event, self._dialect, where), keep, prefix, top)
        self._lives.append(live)
        return live

    async def _follow(self, live: Live, row: _Row) -> Distribution | None:
        """The stream's answer to this prefix; None when it ended without."""
        try:
            async with asyncio.timeout(self._transport.deadline):
                while live.tip == row.prefix:
                    await live.wait()
        except TimeoutError:
            await self._end(live)
            raise self._transport.error("", f"sent nothing for {self._transport.deadline:g} s") from None
        kept = self._kept.get(row.prefix.digest)
        if kept is not None and kept.covers(row.want):
            return kept.answer
        if isinstance(live.failure, DistributionError):
            raise live.failure
        if isinstance(live.failure, Refused) and live.failure.wait is not None:
            await asyncio.sleep(min(live.failure.wait, self._transport.deadline))
        if live.failure is not None:
            get_logger().info("a stream broke off", error=str(live.failure))
        return None


def _unchosen(position: Position) -> Position:
    """Without the token the server went on with: it was told to, or it is the prompt's."""
    return replace(position, chosen=None)


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
