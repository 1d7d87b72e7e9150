"""A tokenizer at the other end of the wire, for servers that take and give ids."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from decodekit.errors import AdapterError, ConfigError, ParameterError
from decodekit.log import get_logger
from decodekit.text.byte_alphabet import BYTES
from decodekit.text.tokenizer import Message
from decodekit_remote.dialect import Dialect, Facts

__all__ = ["ServerTokenizer"]

_SAMPLE = "In 1872, naïve Ω-café: 3.14159 + 2 = 5,14159\r\n\t東京の天気 — привет, مرحبا 🙂 def f(x): return x"

_MARKUP = re.compile(r"<\|[^<>]*\|>|</?s>|<(bos|eos|pad|unk)>|<(start|end)_of_turn>|\[/?INST\]")
_BYTE = re.compile("<0x([0-9A-F]{2})>")


class ServerTokenizer:
    """Asks the server to tokenise; knows the bytes of the tokens it was told of.

    Args:
        dialect: how to ask.
        ask: asks, and waits.
        facts: what the server said of itself.

    Attributes:
        listed: False: it tells of the bytes of tokens one by one.
        fingerprint: a digest over how the server tokenises a sample text, the special tokens and the vocabulary's size:
            a server does not show its vocabulary.

    Raises:
        ProviderError: the server does not tokenise.
    """

    listed = False

    def __init__(self, dialect: Dialect, ask: Callable[[str, Mapping[str, Any]], Any], facts: Facts) -> None:
        self._dialect, self._ask, self._facts = dialect, ask, facts
        self._model = facts.model or None
        self._pieces: dict[int, bytes] = {}
        seen = [self.encode(_SAMPLE), facts.vocab_size, facts.bos_id, sorted(facts.eos_ids)]
        self.fingerprint = "sample-sha256:" + hashlib.sha256(json.dumps(seen).encode()).hexdigest()

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
        """The server's ids for a text.

        Raises:
            ParameterError: without ``special``, a server that has no way to read markup as plain text.
        """
        asked = self._dialect.tokenizing(text, special, self._model)
        assert asked is not None
        answer = self._ask(*asked)
        read = next((name for name in answer.get("token_strs") or () if _MARKUP.fullmatch(name)), None)
        if read is not None and not special:
            raise ParameterError(
                f"this server reads {read!r} as a control token, also in plain text; name a tokenizer, or give ids"
            )
        return self._ids(answer)

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

        A route that gives text cannot give half a character: U+FFFD stands for it, and a warning says so. Name a
        tokenizer where that matters.
        """
        if token_id not in self._pieces:
            asked: dict[str, Any] = {"tokens": [token_id]} | ({"model": self._model} if self._model else {})
            answer = self._ask("/detokenize", asked)
            text = answer.get("content", answer.get("prompt"))
            if not isinstance(text, str):
                raise AdapterError(f"the server does not tell what token {token_id} is; name a tokenizer")
            if "\ufffd" in text:
                get_logger().warning("a token ends inside a character; name a tokenizer to see it", token=token_id)
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
        for token, name in zip(listed, answer.get("token_strs") or (), strict=False):
            piece = _bytes_named(name)
            if piece is not None:
                self._pieces[token] = piece
        return list(listed)


def _bytes_named(name: str) -> bytes | None:
    """The bytes of a token by its name in a vocabulary; None where the name is not in the alphabet of bytes.

    Byte-level vocabularies write bytes in the alphabet of GPT-2 (Radford et al. 2019), SentencePiece as ``<0x0A>``.
    """
    byte = _BYTE.fullmatch(name)
    if byte is not None:
        return bytes.fromhex(byte[1])
    if _MARKUP.fullmatch(name) or not all(letter in BYTES for letter in name):
        return None
    return bytes(BYTES[letter] for letter in name)
