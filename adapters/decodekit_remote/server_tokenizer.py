"""A tokenizer on the server, for servers with ids in and out."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from decodekit.errors import ConfigError, ParameterError, ProviderError
from decodekit.log import get_logger
from decodekit.model.pickling import OfOneProcess
from decodekit.text.byte_alphabet import BYTES
from decodekit.text.tokenizer import Message
from decodekit_remote.dialect import Dialect, ServerInfo
from decodekit_remote.reading import Clean, integers, reading
from decodekit_remote.seen_tokens import SeenTokens

__all__ = ["ServerTokenizer"]

_SAMPLE = "In 1872, naïve Ω-café: 3.14159 + 2 = 5,14159\r\n\t東京の天気 — привет, مرحبا 🙂 def f(x): return x"

_MARKUP = re.compile(r"<\|[^<>]*\|>|</?s>|<(bos|eos|pad|unk)>|<(start|end)_of_turn>|\[/?INST\]")
_BYTE = re.compile("<0x([0-9A-F]{2})>")


class ServerTokenizer(OfOneProcess, SeenTokens):
    """Asks the server to tokenise; stores the bytes of the tokens seen in answers.

    Args:
        dialect: how to ask.
        ask: sends a body to a path, and waits for the answer.
        info: what the server reported about itself.
        where: the server's name in errors.
        clean: removes the key from a text.

    Raises:
        ProviderError: on use, the server does not tokenise, or answers in a shape that is not known.
    """

    def __init__(
        self,
        dialect: Dialect,
        ask: Callable[[str, Mapping[str, Any]], Any],
        info: ServerInfo,
        *,
        where: str = "the server",
        clean: Clean = str,
    ) -> None:
        super().__init__()
        self._dialect, self._ask, self._info = dialect, ask, info
        self._where, self._clean = where, clean
        self._model = info.model or None
        self._fingerprint = ""

    async def read_fingerprint(self, ask: Callable[[str, Mapping[str, Any]], Awaitable[Any]]) -> None:
        """Get the data of the fingerprint, awaiting the answer."""
        path, body = self._tokenizing(_SAMPLE, special=False)
        self._set_fingerprint(self._read(path, await ask(path, body), special=False))

    @property
    def fingerprint(self) -> str:
        """A digest over how the server tokenises a sample text, the special tokens and the vocabulary's size: a server
        does not show its vocabulary."""
        if not self._fingerprint:
            self._set_fingerprint(self.encode(_SAMPLE))
        return self._fingerprint

    def _set_fingerprint(self, ids: list[int]) -> None:
        seen = [ids, self._info.vocab_size, self._info.bos_id, sorted(self._info.eos_ids)]
        self._fingerprint = "sample-sha256:" + hashlib.sha256(json.dumps(seen).encode()).hexdigest()

    @property
    def vocab_size(self) -> int:
        """The number of tokens; 2**31 where the server does not say."""
        return self._info.vocab_size or 2**31

    @property
    def eos_ids(self) -> frozenset[int]:
        """The ids that the server names as the end of a text; empty where it names none."""
        return self._info.eos_ids

    @property
    def bos_id(self) -> int | None:
        """The id that the server puts in front of a text; None for nothing, or where it does not say."""
        return self._info.bos_id

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """The server's ids for a text.

        Raises:
            ParameterError: without ``special``, a server that has no way to read markup as plain text.
        """
        path, body = self._tokenizing(text, special)
        return self._read(path, self._ask(path, body), special)

    def encode_messages(self, messages: Sequence[Message]) -> list[int]:
        """The server's ids for a conversation.

        Raises:
            ConfigError: it has no route for that, or does not continue the assistant's last message.
        """
        asked = self._dialect.conversing(messages, self._model)
        if asked is None:
            raise ConfigError(
                f"dialect {self._dialect.name!r} has no route for a conversation's tokens; name a tokenizer"
            )
        answer = self._ask(*asked)
        with self._reading(asked[0]):
            if "prompt" not in answer:
                return self._ids(answer)
            text = answer["prompt"]
            if not isinstance(text, str):
                raise TypeError("a prompt that is not text")
        said = messages[-1].get("content") if messages[-1].get("role") == "assistant" else None
        if isinstance(said, str) and not text.rstrip().endswith(said.rstrip()):
            raise ConfigError(
                f"{self._where} does not continue the assistant's last message: its prompt ends with {text[-40:]!r}. "
                "Start llama-server without --no-prefill-assistant, or name a tokenizer"
            )
        return self.encode(text, special=True)

    def token_bytes(self, token_id: int) -> bytes | None:
        """The bytes of a token; None for one without text. Asks the server for unknown ones.

        A route that gives text cannot give half a character: U+FFFD replaces it, with a warning. Name a tokenizer if
        that matters.
        """
        if token_id not in self.seen:
            asked: dict[str, Any] = {"tokens": [token_id]} | ({"model": self._model} if self._model else {})
            answer = self._ask("/detokenize", asked)
            with self._reading("/detokenize"):
                text = answer.get("content", answer.get("prompt"))
                piece = text.encode() if isinstance(text, str) else None
            if piece is None:
                raise ProviderError(f"{self._where} does not give the bytes of token {token_id}; name a tokenizer")
            if b"\xef\xbf\xbd" in piece:
                get_logger().warning("a token ends inside a character; name a tokenizer to see it", token=token_id)
            self.seen[token_id] = piece
        return self.seen[token_id] or None

    def learn(self, pieces: Mapping[int, bytes]) -> None:
        """Store the bytes of tokens from an answer."""
        self.seen.update(pieces)

    def _tokenizing(self, text: str, special: bool) -> tuple[str, Mapping[str, Any]]:
        asked = self._dialect.tokenizing(text, special, self._model)
        if asked is None:
            raise ProviderError(f"{self._where} has no route to tokenise a text; name a tokenizer")
        return asked

    def _read(self, path: str, answer: Any, special: bool) -> list[int]:
        with self._reading(path):
            names = answer.get("token_strs") or ()
            read = next((name for name in names if _MARKUP.fullmatch(name)), None)
            ids = self._ids(answer)
        if read is not None and not special:
            raise ParameterError(
                f"this server reads {read!r} as a control token, also in plain text; name a tokenizer, or give ids"
            )
        return ids

    def _ids(self, answer: Any) -> list[int]:
        listed = answer["tokens"]
        if listed and isinstance(listed[0], dict):
            ids = integers([each["id"] for each in listed])
            for each in listed:
                piece = each["piece"]
                self.seen[each["id"]] = piece.encode() if isinstance(piece, str) else bytes(integers(piece))
            return ids
        ids = integers(listed)
        for token, name in zip(ids, answer.get("token_strs") or (), strict=False):
            piece = _bytes_named(name)
            if piece is not None:
                self.seen[token] = piece
        return ids

    def _reading(self, path: str) -> AbstractContextManager[None]:
        return reading(self._dialect.name, f"{self._where}{path}", self._clean)


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
