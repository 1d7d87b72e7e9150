"""A connected server with its state: what it can do, its answers, its streams, its tokenizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import Any, Literal

from decodekit.distribution.disclosure import ALL, Disclosure
from decodekit.errors import ParameterError, ProviderError
from decodekit.model.adapter import AdapterInfo, Answer
from decodekit.model.fitness import Fitness
from decodekit.model.prefix import Prefix
from decodekit.text.tokenizer import Tokenizer
from decodekit_remote.answers import Answers
from decodekit_remote.begun_answers import BegunAnswers
from decodekit_remote.dialect import Dialect, Prefill
from decodekit_remote.draft_length import DraftLength
from decodekit_remote.fitness import fitness_of
from decodekit_remote.list_length import ListLength
from decodekit_remote.probing import Found
from decodekit_remote.questions import Questions
from decodekit_remote.server import Server
from decodekit_remote.streams import Streams, Wanted
from decodekit_remote.text_checks import TextChecks
from decodekit_remote.transport import Transport
from decodekit_remote.vocabulary import HashedVocabulary, KnownVocabulary, Vocabulary

__all__ = ["Connection", "Options", "needs_vocabulary", "server_of", "takes_texts_only"]

_NOT_SHOWN = (
    "to generate, end the chain with the sampler 'provider' (chain='temperature=0.7 provider'). score, rank and other "
    "samplers need its distributions, which no setting gives: ask another API or server, or a model in process"
)


@dataclass(frozen=True, slots=True)
class Options:
    """The settings of the user; see `RemoteAdapter`."""

    draft: int | Literal["auto", "stream"]
    top: int | None
    concurrency: int
    prefill: Prefill
    retokenised: Literal["error", "allow"]
    same_text: Literal["assume", "error"]


class Connection:
    """Answers prefixes from one server.

    Args:
        server: the server.
        found: what was found at the first contact.
        options: the settings of the user.
        chat: asks the same server for answers to conversations, where its own dialect takes none.

    Attributes:
        talking: the connection for conversations; None where there is no other.
        drawn_model: the model of the last answer that the server drew, as it says.
        refused_fields: those of a question for a drawn answer that the server refused: they are not sent any more.
        refused_with_tools: those that it refused beside tools.

    Raises:
        ProviderError: the dialect lists no tokens.
        ParameterError: the dialect cannot do what was asked for.
    """

    def __init__(self, server: Server, found: Found, options: Options, chat: Dialect | None = None) -> None:
        self.server, self.probed, self._options = server, found.probed, options
        self.refused_fields: set[str] = set()
        self.refused_with_tools: set[str] = set()
        self.drawn_model: str | None = None
        self._forgotten = False
        capabilities = server.capabilities
        most = capabilities.most_top
        grows = options.top is None and not capabilities.distinct_keys  # longer lists have more equal texts there
        usual = min(options.top or capabilities.usual_top, most)
        if usual < 1 and not capabilities.draws_only:
            raise ProviderError(f"dialect {server.dialect.name!r} lists no tokens")
        if options.draft == "stream" and not capabilities.stream:
            raise ParameterError(f"draft: dialect {server.dialect.name!r} cannot stream")
        self.list_length = ListLength(usual, most if grows else usual)
        fixed = options.draft if isinstance(options.draft, int) else None
        self.draft_length = DraftLength(fixed if capabilities.draft else 1, longest=64 if fixed else 32)
        checks = TextChecks(server, allow=options.retokenised == "allow")
        self.answers = Answers(server, self.draft_length, checks)
        always = None if fixed else options.draft == "stream"
        at_once = min(options.concurrency, server.info.places or options.concurrency)
        self.streams = Streams(server, self.answers, self.draft_length, most=at_once, always=always)
        self._checks = checks
        self._questions = Questions(
            server,
            self.answers,
            self.streams,
            self.draft_length,
            self.list_length,
            checks,
            adapts=options.draft == "auto",
        )
        self.info = self._describe()
        self.talking: Connection | None = None
        if chat is not None:
            talking = replace(server, dialect=chat, capabilities=chat.capabilities, temperature=None)
            self.talking = Connection(talking, found, options)

    def must_draw(self, tokens: int, conversation: bool = False) -> str:
        """Why the server has to draw so many tokens: no list can be asked for, or none after a token. '' elsewhere."""
        only = self.server.capabilities.draws_only
        if conversation and self.talking is not None:
            return (
                f"{self.server.dialect.name}: this server takes texts, and without tokenizer= nothing here writes a "
                f"conversation as its model wants it, so it goes to {self.talking.server.dialect.name}"
            )
        if only:
            return f"{self.server.dialect.name}: this API {only}"
        if tokens < 2 or not self.server.capabilities.conversations or self._options.prefill != "no":
            return ""
        return (
            f"{self.server.dialect.name}: this server is not known to continue an assistant message; if it does, say "
            "how with prefill='last_message', 'continue_final_message' or 'prefix'"
        )

    @property
    def capabilities(self) -> Mapping[str, Any]:
        """What the server can do, by name, and how that is known."""
        known = {key: value for key, value in asdict(self.server.capabilities).items() if key not in _NOT_REPORTED}
        how = "seen in a probe" if self.probed else "as declared by the dialect"
        report = {"dialect": self.server.dialect.name, "known": how, **known}
        return report | {"prefill_proved": self._checks.prefill_proved, "retokenised": self._options.retokenised}

    def fitness(self, *, drawn: bool) -> list[Fitness]:
        """What the server is known to do and not to do."""
        return list(fitness_of(self.server, self._checks, drawn=drawn, talks=self.talking is not None))

    async def check_before(self, prefix: Prefix) -> None:
        """Check that the server will read a prefix as its tokens. Raises `ProviderError`."""
        await self._checks.before(prefix)

    async def prove_prefill(self) -> None:
        """Where answers are to be continued by prefill, test that they are. Raises `ProviderError`."""
        await self._checks.prove_prefill()

    async def predict(self, prefixes: Sequence[Prefix], wants: Sequence[Disclosure]) -> list[Answer]:
        """One answer per prefix: a distribution, or its own error."""
        if self.server.capabilities.draws_only:
            return [ParameterError(f"{self.must_draw(1)}; {_NOT_SHOWN}") for _ in prefixes]
        reachable, proved = self.server.reachable, self._checks.prefill_proved
        if self._forgotten:
            self._forgotten = False
            await self.streams.aclose()
            self.answers.clear()
        by_digest: dict[bytes, Wanted] = {}
        for prefix, want in zip(prefixes, wants, strict=True):
            asked = by_digest.get(prefix.digest)
            by_digest[prefix.digest] = Wanted(prefix, want if asked is None else asked.disclosure | want)
        found: dict[bytes, Answer] = {}
        fresh: list[Wanted] = []
        for digest, wanted in by_digest.items():
            self.answers.observe(wanted.prefix)
            want, least = wanted.disclosure, reachable(wanted.disclosure, 1)
            kept = self.answers.of(digest)
            if kept is not None and (kept.covers(least) or (want.ids and kept.covers(want))):
                found[digest] = kept.answer
                continue
            fault = self.server.fault(wanted.prefix)
            if fault is None:
                self.list_length.answered(too_short=self.answers.was_given(digest))
                fresh.append(Wanted(wanted.prefix, reachable(want, self.list_length.top), least))
            else:
                found[digest] = fault
        self.streams.is_full = len(fresh) > self.streams.most
        if fresh:
            await self.streams.close_abandoned(by_digest)
            found |= dict(await self._questions.ask_all(fresh))
        await self._confirmed(proved)
        self.answers.give(found)
        return [found[prefix.digest] for prefix in prefixes]

    def forget(self) -> None:
        """Use no stored answer and no running stream for the next question."""
        self._forgotten = True

    async def _confirmed(self, proved: bool | None) -> None:
        """Answers of a server that began again are not given, now or later. Raises `ProviderError`."""
        try:
            await self._checks.confirm(proved)
        except ProviderError:
            self.answers.clear()
            raise

    async def aclose(self) -> None:
        """Close the streams of this event loop, and remove the answers."""
        await self.streams.aclose()
        self.answers.clear()

    def _describe(self) -> AdapterInfo:
        server, capabilities = self.server, self.server.capabilities
        whole = bool(capabilities.whole_vocabulary)
        named = Disclosure(top=capabilities.most_top or None)
        if capabilities.named_ids and not whole:
            named = replace(named, ids=())
        clean = server.transport.redaction.text
        return AdapterInfo(
            name="remote",
            model=clean(server.info.model),
            model_fingerprint="",
            tokenizer_fingerprint="" if server.tokenizer is None else server.tokenizer.fingerprint,
            vocab_size=server.vocab_size,
            context_length=server.longest,
            cheap=Disclosure(top=self.list_length.top or None),
            most=ALL if whole else named,
            stage=capabilities.stage,
            origin="logprobs",
            deterministic=False,
            versions={
                "dialect": server.dialect.name,
                "httpx": version("httpx"),
                **({"server": clean(server.info.build)} if server.info.build else {}),
            },
            concurrency=self._options.concurrency,
        )


_NOT_REPORTED = ("impossible", "unlisted_below")


def needs_vocabulary(found: Found) -> bool:
    """Whether the server returns or takes texts, so that ids are made on this side."""
    return not (found.capabilities.ids_in and found.capabilities.ids_out)


def takes_texts_only(server: Server) -> bool:
    """Whether nothing here can make a prompt of a conversation: texts are sent, and there is no chat template."""
    return isinstance(server.vocabulary, HashedVocabulary) and not server.capabilities.conversations


def server_of(transport: Transport, found: Found, tokenizer: Tokenizer | None, options: Options) -> Server:
    """The server that was found, with the tokenizer that was given, or its own."""
    capabilities = replace(found.capabilities, prefill=options.prefill)
    vocabulary: Vocabulary | None = None
    begun_answers = None
    assumes = capabilities.distinct_keys and capabilities.biases and options.same_text == "assume"
    if needs_vocabulary(found):
        if tokenizer is None:
            vocabulary = HashedVocabulary(conversations=capabilities.conversations, assumes=assumes)
        else:
            vocabulary = KnownVocabulary(
                tokenizer,
                capabilities.lossy,
                conversations=capabilities.conversations,
                longest_text=capabilities.longest_text,
                markup=capabilities.reads_markup,
            )
        if capabilities.biases and options.retokenised == "error":
            begun_answers = BegunAnswers(vocabulary, grammars=found.info.id_grammar)
        tokenizer = vocabulary.tokenizer
    server = Server(
        transport,
        found.dialect,
        found.info,
        capabilities,
        vocabulary,
        tokenizer,
        found.temperature,
        options.prefill,
        begun_answers,
        leaves_out=assumes,
        standing=found.standing,
    )
    size = server.vocab_size
    if size is None:
        return server
    return replace(server, capabilities=replace(capabilities, most_top=min(capabilities.most_top, size)))
