"""Token ids where a server returns texts: from a vocabulary that the user names, or from the bytes themselves."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import Any, Literal, Protocol

from decodekit.errors import DecodekitError, ParameterError
from decodekit.model.prefix import Prefix
from decodekit.text.base import server_ids
from decodekit.text.tokenizer import Message, Tokenizer
from decodekit_remote.dialect import Conversation, Position, Token
from decodekit_remote.seen_tokens import SeenTokens

__all__ = ["HashedVocabulary", "KnownVocabulary", "Vocabulary"]

_UNREADABLE = "�"
_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")


class Vocabulary(Protocol):
    """Turns a server's tokens into ids, and ids into prompts for it."""

    @property
    def tokenizer(self) -> Tokenizer: ...

    @property
    def assumes(self) -> str:
        """What is assumed of texts that several tokens may have; '' for nothing."""
        ...

    def identify(self, tokens: Sequence[Token]) -> list[int | None]:
        """The id of each token; None where the text may be that of another token as well."""
        ...

    def prompt_of(self, prefix: Prefix) -> str | Conversation:
        """A prefix as a prompt for the server. Raises `ParameterError` where no text gives it."""
        ...

    def learn(self, position: Position) -> None:
        """Store the bytes of ids that a server returns."""
        ...


class ConversationTokenizer:
    """A tokenizer that stores the conversations it has encoded: a chat server takes conversations, not ids.

    Args:
        tokenizer: the tokenizer that encodes.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.vocab_size, self.fingerprint = tokenizer.vocab_size, tokenizer.fingerprint
        self.eos_ids, self.bos_id = tokenizer.eos_ids, tokenizer.bos_id
        self.encode, self.decode, self.token_bytes = tokenizer.encode, tokenizer.decode, tokenizer.token_bytes
        self._known_messages: dict[tuple[int, ...], tuple[Message, ...]] = {}

    def __getattr__(self, name: str) -> Any:
        """Other attributes of the tokenizer, such as its chat template or its control tokens."""
        return getattr(self.__dict__["_tokenizer"], name)

    def encode_messages(self, messages: Sequence[Message]) -> list[int]:
        """The tokenizer's ids, which are stored with the conversation.

        Raises:
            ParameterError: another conversation has the same ids, so the wrong one of them could be sent.
        """
        ids = self._tokenizer.encode_messages(messages)
        given = tuple(dict(message) for message in messages)
        if self._known_messages.setdefault(tuple(ids), given) != given:
            raise ParameterError(
                "the chat template of tokenizer= writes this conversation as it wrote another one, perhaps because it "
                "leaves out the calls of tools; leave tokenizer= out, and the server gets the messages as they are"
            )
        return ids

    def relearn(self, schedules: Sequence[Mapping[str, Any]]) -> None:
        """Only conversations would have to be learnt, and those are encoded again."""

    def conversation_of(self, ids: tuple[int, ...]) -> tuple[tuple[Message, ...], tuple[int, ...]]:
        """The conversation at the beginning of these ids, and the ids after it. Raises `ParameterError` for none."""
        for length in sorted({len(start) for start in list(self._known_messages)}, reverse=True):
            if ids[:length] in self._known_messages:
                return self._known_messages[ids[:length]], ids[length:]
        raise ParameterError(
            "this server takes conversations: give the prompt as messages, [{'role': 'user', 'content': ...}]. A text "
            "is not a conversation, and these ids do not begin with one that was encoded here"
        )

    def ids_at_server(self, ids: tuple[int, ...]) -> list[int]:
        """The ids that a server with this tokenizer makes of a conversation and the text of its answer so far.

        They are those of the chat template, if it writes the answer as it is; otherwise the answer is encoded alone.
        """
        messages, answer_ids = self.conversation_of(ids)
        if not answer_ids:
            return list(ids)
        start = ids[: len(ids) - len(answer_ids)]
        said = self.decode(answer_ids).decode("utf-8")
        alone = self.encode(said, special=True)
        if any(self.token_bytes(token) is None for token in alone):  # the server reads a control token
            return [*start, *alone]
        *others, last = messages
        begun = last.get("role") == "assistant"
        written = (
            {**last, "content": f"{last.get('content')}{said}"} if begun else {"role": "assistant", "content": said}
        )
        with suppress(DecodekitError):
            together = self._tokenizer.encode_messages([*(others if begun else messages), written])
            if self.decode(together) == self.decode(start) + said.encode():
                return together
        return [*start, *alone]


class KnownVocabulary:
    """The vocabulary of a tokenizer: draws match those of the same model in process.

    Args:
        tokenizer: the model's own.
        lossy: what the server does to bytes that are not UTF-8; a text that two tokens share gives no id.
        conversations: the server takes conversations.
        longest_text: a token of more bytes than this has no text at the server; None where all have.
        markup: the server reads the markup of a control token in a prompt as that token.
    """

    assumes = ""

    def __init__(
        self,
        tokenizer: Tokenizer,
        lossy: Literal["replace", "ignore"],
        *,
        conversations: bool = False,
        longest_text: int | None = None,
        markup: bool = False,
    ) -> None:
        controls: Mapping[str, int] = getattr(tokenizer, "control_tokens", {}) if markup else {}
        self._markup = {token: text.encode() for text, token in controls.items()}
        self._memory = ConversationTokenizer(tokenizer) if conversations else None
        self.tokenizer: Tokenizer = self._memory or tokenizer
        self._by_bytes: dict[bytes, int | None] = {}
        self._by_text: dict[str, int | None] = {"": None}  # control tokens have no text either
        self._lossy, self._longest = lossy, math.inf if longest_text is None else longest_text
        with_text: dict[str, list[int]] = {}
        for token in range(tokenizer.vocab_size):
            piece = tokenizer.token_bytes(token)
            if piece is not None:
                self._by_bytes[piece] = None if piece in self._by_bytes else token
            text = self.text_of(token)
            with_text.setdefault(text, []).append(token)
            if piece is not None:
                self._by_text[text] = None if len(with_text[text]) > 1 or not text else token
        self._sharing = {text: tuple(ids) for text, ids in with_text.items() if len(ids) > 1 or not text}

    def sharing(self, text: str) -> tuple[int, ...]:
        """The tokens that this text may stand for, if it does not name one."""
        return self._sharing.get(text, ()) if self._by_text.get(text) is None else ()

    def text_of(self, token: int) -> str:
        """A token's text, as the server gives it."""
        piece = self.tokenizer.token_bytes(token) or b""
        return piece.decode("utf-8", self._lossy) if len(piece) <= self._longest else ""

    def identify(self, tokens: Sequence[Token]) -> list[int | None]:
        """Ids as they are; bytes and texts by the tokenizer's table; markup such as ``<|im_end|>`` by the tokenizer."""
        return [token if isinstance(token, int) else self._id_of(token) for token in tokens]

    def _id_of(self, token: bytes | str) -> int | None:
        table: dict[Any, int | None] = self._by_text if isinstance(token, str) else self._by_bytes
        if token not in table:
            table[token] = self._control(token if isinstance(token, str) else token.decode("utf-8", "replace"))
        return table[token]

    def _control(self, text: str) -> int | None:
        """The control token with this markup, if no other token has this text."""
        try:
            ids = self.tokenizer.encode(text, special=True)
        except ParameterError:
            return None
        return ids[0] if len(ids) == 1 and self.tokenizer.token_bytes(ids[0]) is None else None

    def prompt_of(self, prefix: Prefix) -> str | Conversation:
        """The text from which a server with this tokenizer makes the ids, if there is one.

        The server writes BOS itself, and the spaces in front and behind added tokens; they are left out.
        """
        ids = prefix.token_ids
        if self._memory is not None:
            messages, answer_ids = self._memory.conversation_of(ids)
            return Conversation(messages, _text(self._pieces(answer_ids)))
        sent = ids[1:] if ids and ids[0] == self.tokenizer.bos_id else ids
        pieces = self._pieces(sent)
        if getattr(self.tokenizer, "space_in_front", "never") == "never":
            return _text(pieces)
        text = _text(pieces)
        added: frozenset[int] = getattr(self.tokenizer, "whole_tokens", frozenset()) | self._markup.keys()
        begins = [at == 0 or sent[at - 1] in added for at in range(len(sent))]
        bare = [piece.removeprefix(b" ") if at else piece for piece, at in zip(pieces, begins, strict=True)]
        ways = (text.removeprefix(" "), _text(bare), text)
        return next((way for way in ways if self._gives(way, ids)), ways[0])

    def ids_at_server(self, prefix: Prefix) -> list[int]:
        """The ids that a server with this tokenizer makes of the prompt of a prefix. Raises `ParameterError`."""
        if self._memory is not None:
            return self._memory.ids_at_server(prefix.token_ids)
        prompt = self.prompt_of(prefix)
        assert isinstance(prompt, str)
        return server_ids(self.tokenizer, prompt)

    def _gives(self, text: str, ids: Sequence[int]) -> bool:
        """Whether a server with this tokenizer makes these ids of the text."""
        try:
            return server_ids(self.tokenizer, text) == list(ids)
        except ParameterError:
            return False

    def _pieces(self, ids: Sequence[int]) -> list[bytes]:
        pieces = []
        for token in ids:
            piece = self.tokenizer.token_bytes(token)
            if piece is None:
                piece = self._markup.get(token)
            if piece is None:
                raise ParameterError(
                    f"token {token} is a control token without a text, and this server takes only text; use a dialect "
                    "that takes ids, and for a conversation dialect='openai_chat', where the server has it"
                )
            pieces.append(piece)
        return pieces

    def learn(self, position: Position) -> None:
        """The tokenizer knows the bytes already."""


class HashedVocabulary(SeenTokens):
    """No vocabulary: a token is its bytes, and its id 63 bits of their BLAKE2b hash.

    A prompt is one token, its whole text; a conversation is one control token. Empty texts and texts with U+FFFD give
    no token. It is the adapter's tokenizer as well.

    Args:
        conversations: the server takes conversations, so a text is the user's message in one.
        assumes: whether a list that is keyed by text is read as if each text were one token, with a logprob that the
            entries behind it allow, and "" the end of a text.
    """

    vocab_size = 2**63
    bos_id = None
    fingerprint = "bytes, blake2b 63"
    whole_texts = True

    def __init__(self, *, conversations: bool = False, assumes: bool = False) -> None:
        super().__init__()
        self._conversations = conversations
        self.assumes = _TEXTS_ARE_ONE if assumes else ""
        self.eos_ids = frozenset([_END]) if assumes else frozenset[int]()
        self._known_messages: dict[int, tuple[Message, ...]] = {}

    @property
    def tokenizer(self) -> Tokenizer:
        """Itself."""
        return self

    def identify(self, tokens: Sequence[Token]) -> list[int | None]:
        """Ids as they are; bytes and readable texts by their hash, which is stored with them."""
        return [token if isinstance(token, int) else self._id_of(token) for token in tokens]

    def prompt_of(self, prefix: Prefix) -> str | Conversation:
        """The texts joined, after the conversation if there is one."""
        ids = prefix.token_ids
        messages = self._known_messages.get(ids[0])
        try:
            if messages is None and self._conversations:
                messages = ({"role": "user", "content": self.decode(ids[:1]).decode("utf-8")},)
            text = self.decode(ids if messages is None else ids[1:]).decode("utf-8")
        except UnicodeDecodeError:
            raise ParameterError("the prefix ends inside a character, and this server takes only text") from None
        return text if messages is None else Conversation(messages, text)

    def learn(self, position: Position) -> None:
        """Store the bytes of ids, where a server returns both."""
        self.seen.update(position.pieces)

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """One id for the whole text."""
        return [self._kept(text.encode())] if text else []

    def encode_messages(self, messages: Sequence[Message]) -> list[int]:
        """One id for the whole conversation; the server's own template is applied to it there."""
        try:
            written = json.dumps([dict(message) for message in messages], ensure_ascii=False, sort_keys=True)
        except (TypeError, ValueError) as error:
            raise ParameterError(f"messages hold what is no plain data: {error}") from None
        token = _hash(b"\0conversation\0" + written.encode())
        self._known_messages[token] = tuple(dict(message) for message in messages)
        return [token]

    def token_bytes(self, token_id: int) -> bytes | None:
        """The bytes behind a hash; None for a conversation. Raises `ParameterError` for an id never seen here."""
        if token_id in self._known_messages or token_id in self.eos_ids:
            return None
        if token_id not in self.seen:
            raise ParameterError(f"token id {token_id} is the hash of no text seen here; give the prompt as text")
        return self.seen[token_id]

    def table(self, ids: Sequence[int]) -> str:
        """The texts of these ids as JSON, for the record: hashes alone cannot be turned into text again."""
        shown = [token for token in ids if token not in self.eos_ids]
        pieces = {str(token): self.seen[token].decode("utf-8", "backslashreplace") for token in shown}
        return json.dumps(pieces, ensure_ascii=False)

    def relearn(self, schedules: Sequence[Mapping[str, Any]]) -> None:
        """Learn the texts of ids from the schedules of steps, in the form of `table`."""
        for schedule in schedules:
            for token, text in json.loads(schedule.get("tokens", "{}")).items():
                for piece in (text.encode(), _ESCAPE.sub(lambda escape: bytes([int(escape[1], 16)]), text.encode())):
                    if _hash(piece) == int(token):
                        self.seen[int(token)] = piece

    def _id_of(self, token: bytes | str) -> int | None:
        if token == "" and self.eos_ids:
            return _END
        if not token or (isinstance(token, str) and _UNREADABLE in token):
            return None
        return self._kept(token.encode() if isinstance(token, str) else token)

    def _kept(self, piece: bytes) -> int:
        token = _hash(piece)
        if self.seen.setdefault(token, piece) != piece:
            raise ParameterError(f"two texts have the same hash of 63 bits: {piece!r} and {self.seen[token]!r}")
        return token


def _hash(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little") >> 1


_END = _hash(b"\0end of text\0")
_TEXTS_ARE_ONE = "each text is one token, and '' is the end of a text"


def _text(pieces: Sequence[bytes]) -> str:
    try:
        return b"".join(pieces).decode("utf-8")
    except UnicodeDecodeError:
        raise ParameterError(
            "the prefix ends inside a character, and this server takes only text; use a dialect that takes ids"
        ) from None
