"""A dialect: how to ask one kind of server for logprobs, and how to read its answers.

A dialect is a small class without state; its only I/O is `greet`, at the first contact. The ones of decodekit are in
`decodekit_remote.dialects`; a third party registers its own under the entry-point group ``decodekit.dialects``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from decodekit.distribution import Stage
from decodekit.errors import ParameterError, ProviderError
from decodekit.model.drawn import Ending
from decodekit.text.tokenizer import Message
from decodekit.text.tools import Tools
from decodekit_remote.server_info import ServerInfo

__all__ = [
    "Ask",
    "CallPart",
    "Capabilities",
    "Chosen",
    "Conversation",
    "Counts",
    "Dialect",
    "Drawn",
    "Entry",
    "Position",
    "Prefill",
    "Reply",
    "Request",
    "ServerInfo",
    "Token",
    "Whole",
    "entries_of",
    "prompts_of",
]

Token = int | bytes | str
"""An id; or the exact bytes; or a text as the server decoded it, which may stand for more than one token."""

Prefill = Literal["no", "last_message", "continue_final_message", "prefix"]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a server can do. Anything that is not declared or seen counts as impossible.

    Args:
        ids_in: a prompt may be token ids.
        ids_out: tokens come back as ids.
        bytes_out: tokens come back with their exact bytes.
        most_top: the largest number of most likely tokens that it lists for a position.
        whole_vocabulary: it can list every token; None when that depends on how it was started; a probe finds out.
        named_ids: how many tokens may be asked for by id in one question.
        stage: 'raw', 'processed' (temperature or the like is in the values) or 'unknown'.
        echo: it scores the prompt too, position by position.
        batch: several prompts go into one request.
        draft: several greedy tokens come in one request, each with its list.
        stream: it streams them.
        conversations: a prompt is a conversation; a text is the user's message in one.
        prefill: how the assistant's last message is continued; 'no' when it cannot be.
        forces: a token can be forced without moving the reported values.
        distinct_keys: a list is a mapping with texts as keys, so tokens with the same text become one entry.
        biases: the logits of named tokens can be raised for the server's choice while the reported values stay, so it
            can be asked which of several tokens is the most likely, and an answer can be made to begin with given ids.
        lossy: what happens to bytes that are not UTF-8 in a text: 'replace' (U+FFFD) or 'ignore'.
        longest_text: a token of more bytes than this has no text in a list; None where all have.
        reads_markup: the markup of a control token in a prompt of text is read as that token.
        usual_top: how many tokens it lists cheaply.
        impossible: a value this low or lower means probability zero, in nats.
        unlisted_below: a value this low or lower means that the token is not in the list, in nats; None where there is
            no such value.
        draws: the server can be asked for answers that it draws itself.
        draws_only: why its answers can only be drawn by the server; '' where lists can be asked for.
        takes: the sampling parameters that its API has; () where the program behind it decides that.
        tools: an answer that the server draws may call tools.
    """

    ids_in: bool = False
    ids_out: bool = False
    bytes_out: bool = False
    most_top: int = 0
    whole_vocabulary: bool | None = False
    named_ids: int = 0
    stage: Stage = "unknown"
    echo: bool = False
    batch: bool = False
    draft: bool = False
    stream: bool = False
    conversations: bool = False
    prefill: Prefill = "no"
    forces: bool = False
    distinct_keys: bool = False
    biases: bool = False
    lossy: Literal["replace", "ignore"] = "replace"
    longest_text: int | None = None
    reads_markup: bool = False
    usual_top: int = 20
    impossible: float = -3e38
    unlisted_below: float | None = None
    draws: bool = False
    draws_only: str = ""
    takes: tuple[str, ...] = ()
    tools: bool = False


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages, and the text with which the assistant's answer starts."""

    messages: tuple[Message, ...]
    answer_start: str = ""

    @property
    def begun(self) -> bool:
        """Whether the last message is the assistant's, so the server must continue it."""
        return bool(self.messages) and self.messages[-1].get("role") == "assistant"


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Args:
        prompts: token ids, text, or a conversation; one unless the dialect can batch.
        top: how many of the most likely tokens to list for each position.
        tokens: how many greedy tokens.
        everything: list the whole vocabulary.
        named: list these ids.
        stream: answer token by token.
        echo: list for every position of the prompt as well.
        force: the token with which the server must continue.
        temperature: None for the dialect's greedy setting; a number to compare values at different temperatures.
        model: the name to ask for, or None.
        unwanted: ids that would end the text; a dialect prevents the server from choosing them if it can.
        prefill: how a conversation is continued.
        begin: ids with which the answer must begin; ``tokens`` and the lists are those after them.
        by_grammar: how it is made to: by a grammar of ids, or by raised logits, each once.
        bias: what to add to the logits of these ids for the choice, in nats; the reported values stay.
        once: no token is chosen twice, so that an answer of half characters ends.
        tools: that the model may call in an answer that the server draws.
    """

    prompts: tuple[tuple[int, ...] | str | Conversation, ...]
    top: int
    tokens: int = 1
    everything: bool = False
    named: tuple[int, ...] = ()
    stream: bool = False
    echo: bool = False
    force: int | None = None
    temperature: float | None = None
    model: str | None = None
    unwanted: tuple[int, ...] = ()
    prefill: Prefill = "no"
    begin: tuple[int, ...] = ()
    by_grammar: bool = True
    bias: tuple[tuple[int, float], ...] = ()
    once: bool = False
    tools: Tools | None = None


def entries_of(question: Request, vocab_size: int | None) -> int:
    """How many entries the lists of an answer have in all, at most; 262,144 for a vocabulary of unknown size."""
    top = (vocab_size or 262_144) if question.everything else question.top + len(question.named)
    scored = sum(map(len, question.prompts)) if question.echo else 0  # type: ignore[arg-type]  # ids, never messages
    return (len(question.prompts) * (question.tokens + len(question.begin)) + scored) * (top + 1)


def prompts_of(question: Request) -> list[str] | list[list[int]]:
    """The prompts of a question, as for JSON. Raises `ParameterError` for a conversation."""
    prompts: list[Any] = []
    for prompt in question.prompts:
        if isinstance(prompt, Conversation):
            raise ParameterError(
                "this dialect takes ids or text; a conversation goes to dialect='openai_chat', in a call without texts"
            )
        prompts.append(prompt if isinstance(prompt, str) else list(prompt))
    return prompts


@dataclass(frozen=True, slots=True)
class Position:
    """The list for one position.

    Args:
        chosen: the token with which the server continued, None when it does not say.
        tokens: the listed tokens.
        logprobs: theirs, in nats.
        pieces: their bytes by id, if the server gives them.
    """

    chosen: Token | None
    tokens: Sequence[Token]
    logprobs: Sequence[float]
    pieces: Mapping[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one prompt, or one event of a stream.

    Args:
        positions: the lists after the prompt, in order, up to the first that is missing.
        prompt: with ``echo``, the lists after each token of the prompt except the last; None where there is none.
        finished: the server reported that the answer is complete.
        cut: a list is missing here: some tokens came without one.
        model: the name the server gives the model.
        build: what identifies the server's build or configuration.
        prompt_tokens: how many tokens the server made of the prompt, as it reports.
        cached_tokens: how many tokens of it were in the server's cache, as it reports; some servers leave these out of
            ``prompt_tokens``.
        begun: the tokens with which the answer had to begin, as the server gives them.
    """

    positions: Sequence[Position]
    prompt: Sequence[Position | None] = ()
    finished: bool = True
    cut: bool = False
    model: str = ""
    build: str = ""
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    begun: Sequence[Token | None] = ()


class Chosen(NamedTuple):
    """What a server chose where logits were raised.

    Args:
        text: of all chosen tokens, those of ``begin`` included.
        tokens: how many there were; an end of text is none.
    """

    text: str
    tokens: int


class Entry(NamedTuple):
    """A token that the server drew.

    Args:
        token: the token, or a piece of text where the server does not tell tokens apart.
        logprob: its own, in nats; None where the server gives none.
        top: the most likely tokens at its place, with their logprobs; None where the server gives none.
    """

    token: Token
    logprob: float | None = None
    top: Position | None = None


class Counts(NamedTuple):
    """Numbers of tokens as a server reports them; None where it does not."""

    prompt: int | None = None
    completion: int | None = None
    cached: int | None = None


class CallPart(NamedTuple):
    """A piece of a call of a tool.

    Args:
        place: which call of the answer it belongs to.
        id, name: of the call, as far as this piece has them; servers repeat them.
        arguments: the text that it adds to the arguments.
        instead: all arguments; pieces of them may come too, and must be the same.
        whole: it gives the call once more, or in one piece: its place may be another than that of the pieces.
    """

    place: int
    id: str = ""
    name: str = ""
    arguments: str = ""
    instead: str = ""
    whole: bool = False


class Whole(NamedTuple):
    """The text of an answer or of a part of it in one piece, beside the pieces or in their place.

    Args:
        text: the text.
        part: as for `Drawn`; None for the whole answer.
        entries: its tokens.
        early: pieces may follow, so it is looked at when the answer is complete.
    """

    text: str
    part: tuple[int, ...] | None = None
    entries: Sequence[Entry] = ()
    early: bool = False


class Drawn(NamedTuple):
    """One event of an answer that the server draws.

    Args:
        entries: the tokens. Where ``text`` is given they are only a record of it, and need not be all of it.
        ends: why the answer is complete; None where it goes on.
        model, build: as for `Reply`.
        text: the text that the event adds; None where it is that of the entries.
        part: which part of the answer the text belongs to; parts come in ascending order.
        counts: what it reports.
        idle: it says only that the connection is alive.
        fault: why the answer cannot be used after this text, such as a filter or a refusal.
        calls: pieces of calls of tools.
        wholes: texts in one piece, in order. They come after ``text``.
    """

    entries: Sequence[Entry]
    ends: Ending | None = None
    model: str = ""
    build: str = ""
    text: str | None = None
    part: tuple[int, ...] = ()
    counts: Counts = Counts()
    idle: bool = False
    fault: ProviderError | None = None
    calls: Sequence[CallPart] = ()
    wholes: Sequence[Whole] = ()


class Ask(Protocol):
    """How a dialect asks its server at the first contact: JSON from a path, by POST when there is a body."""

    async def __call__(self, path: str, body: Mapping[str, Any] | None = None) -> Any: ...


class Dialect(Protocol):
    """One kind of server. Inherit from it, or implement its members.

    A dialect may have two attributes more: ``key_header``, the name of the header that takes the key in place of
    ``authorization``, and ``headers``, which are sent with every request.

    Methods that read an answer may raise `KeyError`, `TypeError`, `ValueError`, `IndexError` or `AttributeError` for an
    answer of another shape: it is reported as such. Other faults they raise as `ProviderError`.
    """

    @property
    def name(self) -> str:
        """Its name for ``dialect=``."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What such a server can do, as known before contact."""
        ...

    def request(self, question: Request) -> tuple[str, dict[str, Any]]:
        """The path and the body of a question."""
        ...

    def reply(self, data: Any, question: Request) -> list[Reply]:
        """The answer, one reply per prompt."""
        ...

    async def greet(self, ask: Ask, model: str | None) -> ServerInfo | None:
        """What the server reports about itself; None, or any of the errors above, for a server of another kind."""
        ...

    def event(self, data: Any, seen: int) -> Reply:
        """One event of a stream, ``seen`` positions into it; only of a dialect that can ``stream``."""
        raise ValueError("this dialect reads no streams")

    def chosen(self, data: Any, question: Request) -> Chosen:
        """What the server chose, from its answer to a question with ``bias``; only of a dialect that ``biases``."""
        raise ValueError("this dialect raises no logits")

    def drawing(self, question: Request, settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """The path and the body of a question for a streamed answer that the server draws itself.

        Args:
            question: the prompt, the number of tokens and of logprobs, and the tools of a dialect that takes ``tools``.
            settings: the sampling parameters by the server's names, with ``stop`` and ``seed``.

        Raises:
            ParameterError: such a server has not been taught to draw here.
        """
        raise ParameterError(
            f"sampler 'provider': dialect {self.name!r} continues any prefix, so decodekit draws there: use another "
            "sampler, such as multinomial, or name a dialect that draws, such as openai_chat"
        )

    def drawn(self, data: Any) -> Drawn:
        """One event of such an answer."""
        raise ValueError("this dialect reads no answers that the server drew")

    def tokenizing(self, text: str, special: bool, model: str | None) -> tuple[str, dict[str, Any]] | None:
        """The path and body that tokenise a text, None where the server has no such route."""
        return None

    def conversing(self, messages: Sequence[Message], model: str | None) -> tuple[str, dict[str, Any]] | None:
        """The path and body that make ``tokens`` or a ``prompt`` of a conversation, None where there is none."""
        return None
