"""What is known of a connected server, and how prefixes become questions for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from decodekit.distribution.disclosure import ALL, Disclosure
from decodekit.errors import ContextOverflow, DecodekitError, ParameterError, ProviderError
from decodekit.model.prefix import Prefix
from decodekit.text.tokenizer import Tokenizer
from decodekit_remote.begun_answers import BegunAnswers, Sent
from decodekit_remote.body import MOST_OBJECTS, PER_ENTRY
from decodekit_remote.dialect import (
    Capabilities,
    Chosen,
    Conversation,
    Dialect,
    Prefill,
    Reply,
    Request,
    ServerInfo,
    entries_of,
)
from decodekit_remote.reading import read_reply, reading
from decodekit_remote.transport import Transport
from decodekit_remote.vocabulary import KnownVocabulary, Vocabulary

__all__ = ["Server"]


@dataclass(frozen=True, slots=True)
class Server:
    """A connected server. Immutable.

    Args:
        transport: how to reach it.
        dialect: its dialect.
        info: what it reports about itself.
        capabilities: what it can do.
        vocabulary: gives ids to tokens that come as texts; None when all come as ids.
        tokenizer: the adapter's.
        temperature: None for greedy questions; 1.0 where the temperature affects its values.
        prefill: how a conversation is continued.
        begun_answers: how prefixes that no text gives are sent; None where the server cannot be made to begin its
            answer with given tokens.
        leaves_out: whether tokens that a whole list has lost among equal texts are left out; see `distribution`.
        standing: what its operator has it do to every answer that no request can switch off; '' where nothing is known.
    """

    transport: Transport
    dialect: Dialect
    info: ServerInfo
    capabilities: Capabilities
    vocabulary: Vocabulary | None
    tokenizer: Tokenizer | None
    temperature: float | None
    prefill: Prefill
    begun_answers: BegunAnswers | None = None
    leaves_out: bool = False
    standing: str = ""

    @property
    def vocab_size(self) -> int | None:
        """The number of tokens; None where it is not known."""
        known = self.vocabulary.tokenizer.vocab_size if isinstance(self.vocabulary, KnownVocabulary) else None
        return self.info.vocab_size or known

    @property
    def longest(self) -> int | None:
        """The longest prefix in tokens: a server needs room for one more token."""
        return None if self.info.context_length is None else self.info.context_length - 1

    @property
    def names_by_choice(self) -> bool:
        """Whether the value of a named token is found by making the server choose it."""
        return self.capabilities.biases and isinstance(self.vocabulary, KnownVocabulary)

    def reachable(self, want: Disclosure, usual: int) -> Disclosure:
        """What to request from the server for this: at least ``usual``, and at most what it can give.

        Where tokens cannot be asked for by id, the longest list is.
        """
        capabilities = self.capabilities
        by_name = len(want.ids) + (want.top or 0) if want.ids else 0  # the head is requested by id together with them
        if capabilities.whole_vocabulary and (want.kind == "all" or by_name > capabilities.named_ids):
            return ALL
        top, most = min(max(want.top or 0, usual), capabilities.most_top), capabilities.most_top
        if want.kind == "all":
            return Disclosure(most)
        named = not want.ids or capabilities.named_ids or self.names_by_choice
        return Disclosure(top, want.ids) if named else Disclosure(most)

    def fault(self, prefix: Prefix) -> DecodekitError | None:
        """Why a prefix cannot be asked for; None when it can."""
        if len(prefix) == 0:
            return ParameterError("the prefix is empty: there is nothing to predict from")
        longest = self.longest
        if longest is not None and len(prefix) > longest and self.vocabulary is None:
            return ContextOverflow(f"a prefix of {len(prefix)} tokens does not fit a context of {longest}")
        size = self.vocab_size
        if size is None or not prefix.since(0).max() >= size:
            return None
        return ParameterError(f"token id {int(prefix.since(0).max())} lies outside the vocabulary of {size} tokens")

    def room(self, prefix: Prefix, most: int) -> int:
        """How many tokens to request after a prefix: at most what fits after it."""
        return most if self.longest is None else max(1, min(most, self.longest + 1 - len(prefix)))

    def question(self, prefixes: Sequence[Prefix], top: int, *, tokens: int = 1, force: int | None = None) -> Request:
        """A question for the tokens after these prefixes; ``force`` allows only one token."""
        known = self.tokenizer if isinstance(self.vocabulary, KnownVocabulary) else None
        sent = self.begun(prefixes[0]) if len(prefixes) == 1 else None
        return Request(
            (sent.text,) if sent is not None else tuple(map(self._prompt_of, prefixes)),
            begin=sent.begin if sent is not None else (),
            by_grammar=sent is None or sent.by_grammar,
            top=top,
            tokens=1 if force is not None else tokens,
            force=force,
            temperature=self.temperature,
            model=self.info.model or None,
            unwanted=() if known is None else tuple(sorted(known.eos_ids)),
            prefill=self.prefill,
        )

    def begun(self, prefix: Prefix) -> Sent | None:
        """The start of a prefix as text and the ids with which the answer begins; None where its text gives it."""
        sent = None if self.begun_answers is None else self.begun_answers.of(prefix)
        return sent if sent is not None and sent.begin else None

    def _prompt_of(self, prefix: Prefix) -> tuple[int, ...] | str | Conversation:
        return prefix.token_ids if self.vocabulary is None else self.vocabulary.prompt_of(prefix)

    async def put(self, question: Request) -> list[Reply]:
        """Ask it. Raises `AdapterError`."""
        replies = await put(self.transport, self.dialect, question, self.vocab_size)
        if question.begin:
            assert self.begun_answers is not None
            expected = [*map(self.begun_answers.text_of, question.begin)]
            if any(list(reply.begun) != expected for reply in replies):
                raise ProviderError(
                    f"{self.transport.base_url} was asked to begin its answer with the tokens {expected!r}, and began "
                    f"with {list(replies[0].begun)!r}"
                )
        return replies

    async def choose(self, question: Request) -> Chosen:
        """What it chooses where logits are raised. Raises `AdapterError`."""
        path, body = self.dialect.request(question)
        data = await self.transport.ask(path, body)
        with reading(self.dialect.name, f"{self.transport.base_url}{path}", self.transport.redaction.text):
            return self.dialect.chosen(data, question)


async def put(transport: Transport, dialect: Dialect, question: Request, vocab_size: int | None) -> list[Reply]:
    """Ask a question, and read the answer. Raises `AdapterError`."""
    path, body = dialect.request(question)
    objects = MOST_OBJECTS + PER_ENTRY * entries_of(question, vocab_size)
    data = await transport.ask(path, body, objects=objects)
    return read_reply(dialect, f"{transport.base_url}{path}", data, question, transport.redaction.text)
