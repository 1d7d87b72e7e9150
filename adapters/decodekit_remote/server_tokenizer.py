"""A tokenizer at the other end of the wire, for servers that take and give ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from decodekit.errors import AdapterError, ConfigError
from decodekit.protocols import Message
from decodekit_remote.dialect import Dialect, Facts

__all__ = ["ServerTokenizer"]


class ServerTokenizer:
    """Asks the server to tokenise; knows the bytes of the tokens it was told of.

    Args:
        dialect: how to ask.
        ask: asks, and waits.
        facts: what the server said of itself.
    """

    def __init__(self, dialect: Dialect, ask: Callable[[str, Mapping[str, Any]], Any], facts: Facts) -> None:
        self._dialect, self._ask, self._facts = dialect, ask, facts
        self._model = facts.model or None
        self._pieces: dict[int, bytes] = {}
        self.fingerprint = ""

    @property
    def vocab_size(self) -> int:
        """The number of tokens; 2**31 where the server does not say."""
        return self._facts.vocab_size or 2**31

    @property
    def eos_ids(self) -> frozenset[int]:
        """What the server names as the end of a text; empty where it names nothing."""
        return self._facts.eos_ids

    @property
    def bos_id(self) -> int | None:
        """What the server puts in front of a text; None for nothing, or where it does not say."""
        return self._facts.bos_id

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """The server's ids for a text."""
        asked = self._dialect.tokenizing(text, special, self._model)
        assert asked is not None
        return self._ids(self._ask(*asked))

    def encode_messages(self, messages: Sequence[Message]) -> list[int]:
        """The server's ids for a conversation. Raises `ConfigError` where it has no route for that."""
        asked = self._dialect.conversing(messages, self._model)
        if asked is None:
            raise ConfigError(
                f"dialect {self._dialect.name!r} has no route for a conversation's tokens; name a tokenizer"
            )
        answer = self._ask(*asked)
        return self.encode(answer["prompt"], special=True) if "prompt" in answer else self._ids(answer)

    def decode(self, ids: Sequence[int]) -> bytes:
        """The bytes of these tokens, control tokens left out."""
        return b"".join(self.token_bytes(token) or b"" for token in ids)

    def token_bytes(self, token_id: int) -> bytes | None:
        """The bytes of a token; None for one without text. Asks for what it was not told.

        A route that gives text cannot give half a character: U+FFFD stands for it. Name a tokenizer where that matters.
        """
        if token_id not in self._pieces:
            asked: dict[str, Any] = {"tokens": [token_id]} | ({"model": self._model} if self._model else {})
            answer = self._ask("/detokenize", asked)
            text = answer.get("content", answer.get("prompt"))
            if not isinstance(text, str):
                raise AdapterError(f"the server does not tell what token {token_id} is; name a tokenizer")
            self._pieces[token_id] = text.encode()
        return self._pieces[token_id] or None

    def learn(self, pieces: Mapping[int, bytes]) -> None:
        """Keep what an answer tells of the bytes of tokens."""
        self._pieces.update(pieces)

    def _ids(self, answer: Any) -> list[int]:
        listed = answer["tokens"]
        if listed and isinstance(listed[0], dict):
            for each in listed:
                piece = each["piece"]
                self._pieces[each["id"]] = piece.encode() if isinstance(piece, str) else bytes(piece)
            return [each["id"] for each in listed]
        return list(listed)
