"""The vocabulary of a GGUF model as a `decodekit.model.adapter.Tokenizer`."""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property

import llama_cpp

from decodekit.errors import AdapterError, ConfigError, ParameterError
from decodekit.local.fingerprint import remembered
from decodekit.text.chat import render_chat
from decodekit_llamacpp.native import Model

__all__ = ["LlamaCppTokenizer"]

_LONGEST_TEXT = 2**30  # bytes; llama.cpp counts in 32 bits
_UNASKED = b"\xff unasked"  # no token has these bytes


class LlamaCppTokenizer:
    """Text to token ids and back, by the tokenizer that is inside the model file.

    Args:
        model: the loaded model. Once it is closed, the tokenizer raises `AdapterError`.
        fingerprint: the digest of the model file; the tokenizer's own is remembered under it.
    """

    def __init__(self, model: Model, fingerprint: str) -> None:
        self._model = model
        self._key = f"tokenizer 1 {fingerprint}"
        self._table: list[bytes | None] = [_UNASKED] * model.vocab_size
        vocab = model.vocab
        self._eos = frozenset(i for i in range(model.vocab_size) if llama_cpp.llama_vocab_is_eog(vocab, i))
        bos = int(llama_cpp.llama_vocab_bos(vocab))
        self._bos = bos if bos >= 0 and llama_cpp.llama_vocab_get_add_bos(vocab) else None
        self.chat_template = model.text("chat_template")

    @property
    def vocab_size(self) -> int:
        """The number of tokens."""
        return self._model.vocab_size

    @property
    def eos_ids(self) -> frozenset[int]:
        """The tokens that end a generation: all the model marks as such, end of turn among them."""
        return self._eos

    @property
    def bos_id(self) -> int | None:
        """The token a raw prompt starts with; None when the model was trained without one."""
        return self._bos

    @cached_property
    def fingerprint(self) -> str:
        """A digest over the bytes and kinds of all tokens, the special ones and the chat template."""
        return remembered(self._key, self._digest)

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """The ids of a text. Adds no BOS.

        Raises:
            ParameterError: the text holds half a surrogate pair, which no encoding has bytes for, or is too long.
        """
        vocab = self._vocab()
        try:
            data = text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ParameterError(f"the text is not valid Unicode at character {error.start}: {error.reason}") from None
        if len(data) > _LONGEST_TEXT:
            raise ParameterError(f"a text of {len(data)} bytes is too long to tokenise at once")
        size = len(data) + 8  # one token per byte at most, and a few for what a tokenizer puts in front
        while True:
            ids = (ctypes.c_int32 * size)()
            count = llama_cpp.llama_tokenize(vocab, data, len(data), ids, size, False, special)
            if count >= 0:
                return list(ids[:count])
            if -count <= size:
                raise ParameterError(f"llama.cpp cannot tokenise this text of {len(data)} bytes")
            size = -count

    def encode_messages(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """The ids of a conversation in the model's own chat template, ready for the assistant's answer.

        Raises:
            ParameterError: the messages are not of the right shape.
            ConfigError: the model has no template, or the template refuses the messages.
        """
        if self.chat_template is None:
            raise ConfigError("this model has no chat template; give it a text prompt instead")
        text = render_chat(
            self.chat_template,
            messages,
            bos_token=self._markup(llama_cpp.llama_vocab_bos),
            eos_token=self._markup(llama_cpp.llama_vocab_eos),
        )
        ids = self.encode(text, special=True)
        if self._bos is not None and ids[:1] != [self._bos]:
            return [self._bos, *ids]  # a template that writes BOS itself has it already
        return ids

    def decode(self, ids: Sequence[int]) -> bytes:
        """The bytes of these tokens, control tokens left out."""
        return b"".join(self.token_bytes(token_id) or b"" for token_id in ids)

    def token_bytes(self, token_id: int) -> bytes | None:
        """The bytes of one token; None for a control token.

        Raises:
            ParameterError: there is no such token.
        """
        if not 0 <= token_id < len(self._table):
            raise ParameterError(f"token id {token_id} lies outside the vocabulary of {len(self._table)} tokens")
        piece = self._table[token_id]
        if piece is _UNASKED:
            piece = self._table[token_id] = self._piece(token_id)
        return piece

    def _piece(self, token_id: int) -> bytes | None:
        vocab = self._vocab()
        if llama_cpp.llama_vocab_is_control(vocab, token_id):
            return None
        return self._text_of(token_id, special=False)

    def _text_of(self, token_id: int, *, special: bool) -> bytes:
        vocab, size = self._vocab(), 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            count = llama_cpp.llama_token_to_piece(vocab, token_id, buffer, size, 0, special)
            if count >= 0:
                return buffer.raw[:count]
            size = -count

    def _markup(self, which: object) -> str:
        token_id = which(self._vocab())  # type: ignore[operator]
        return self._text_of(token_id, special=True).decode("utf-8", "replace") if token_id >= 0 else ""

    def _digest(self) -> str:
        vocab, digest = self._vocab(), hashlib.sha256()
        for token_id in range(self.vocab_size):
            piece = self._text_of(token_id, special=True)
            attributes = int(llama_cpp.llama_vocab_get_attr(vocab, token_id))
            digest.update(f"{len(piece)} {attributes} ".encode() + piece)
        rest = (int(llama_cpp.llama_vocab_type(vocab)), self._bos, sorted(self._eos), self.chat_template)
        digest.update(repr(rest).encode("utf-8", "replace"))
        return "sha256:" + digest.hexdigest()

    def _vocab(self) -> object:
        if not self._model.close.alive:
            raise AdapterError("the model is closed, and its tokenizer with it")
        return self._model.vocab
