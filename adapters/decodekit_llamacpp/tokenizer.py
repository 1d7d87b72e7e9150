"""The vocabulary of a GGUF model as a `decodekit.text.tokenizer.Tokenizer`."""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property

import llama_cpp

from decodekit.errors import AdapterError, ParameterError
from decodekit.local.fingerprint import remembered
from decodekit.model.pickling import OfOneProcess
from decodekit.text.base import BaseTokenizer
from decodekit.text.unwritten import missing_letters, unused_token_error, warn_of_unknown
from decodekit.text.utf8 import utf8
from decodekit_llamacpp.native import Model
from decodekit_llamacpp.pieces import MARKUP, Pieces

__all__ = ["LlamaCppTokenizer"]

_LONGEST_TEXT = 2**30  # bytes; llama.cpp counts in 32 bits
_UNASKED = b"\xff unasked"  # no token has these bytes
_UNKNOWN = llama_cpp.LLAMA_TOKEN_ATTR_UNKNOWN
_WORDS_LOSE = "a space before each word, whatever white space was there, capital letters, accents, control characters"
_FRONT_LOSES = "a space is written in front of each text"


class LlamaCppTokenizer(OfOneProcess, BaseTokenizer):
    """Text to token ids and back, with the tokenizer of the model file.

    llama.cpp puts the space of a sentencepiece vocabulary in front of every text and after every control token. Here
    prompts and conversations have it, and `encode` does not (see `decodekit_llamacpp.pieces`).

    Args:
        model: the loaded model. Once it is closed, the tokenizer raises `AdapterError`.
        fingerprint: the digest of the model file; the tokenizer's own is cached under it.

    Attributes:
        model: the loaded model.
    """

    def __init__(self, model: Model, fingerprint: str) -> None:
        self.model = model
        self._key = f"tokenizer 1 {fingerprint}"
        self._table: list[bytes | None] = [_UNASKED] * model.vocab_size
        vocab, kind = model.vocab, int(llama_cpp.llama_vocab_type(model.vocab))
        unigram = kind == llama_cpp.LLAMA_VOCAB_TYPE_UGM
        sentencepiece = unigram or kind == llama_cpp.LLAMA_VOCAB_TYPE_SPM
        declared = model.text("tokenizer.ggml.add_space_prefix")
        merges = unigram and model.text("tokenizer.ggml.remove_extra_whitespaces") == "true"
        spaced = sentencepiece and (declared == "true" or (declared is None and not unigram) or merges)
        bos = int(llama_cpp.llama_vocab_bos(vocab))
        super().__init__(
            model.vocab_size,
            eos_ids=[i for i in range(model.vocab_size) if llama_cpp.llama_vocab_is_eog(vocab, i)],
            bos_id=bos if bos >= 0 and llama_cpp.llama_vocab_get_add_bos(vocab) else None,
            chat_template=model.text("chat_template"),
            space_in_front="always" if spaced else "never",
            loses=_WORDS_LOSE if kind == llama_cpp.LLAMA_VOCAB_TYPE_WPM else "",
        )
        self._pieces = Pieces(vocab, model.vocab_size, self._tokenize, unigram=unigram) if sentencepiece else None
        if self._pieces is not None and self._pieces.anchor is None and spaced:
            self.loses = _FRONT_LOSES
        self.warn_of_limits()

    @cached_property
    def fingerprint(self) -> str:
        """A digest over the bytes and kinds of all tokens, the special ones and the chat template."""
        return remembered(self._key, self._digest)

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """The ids of a text. Adds no BOS and no space; with ``special`` markup is read as control tokens.

        Raises:
            ParameterError: the text holds half a surrogate pair, is too long, or the vocabulary cannot encode it byte
                for byte.
        """
        data = utf8(text, "the text")
        ids = self._tokenize(text, special) if self._pieces is None else self._pieces.encode(text, special)
        self._require_used(ids, text)
        spelled = self._spelled(ids, special)
        if self.loses or spelled != data:
            self.require_known(text, self._has(ids, _UNKNOWN), special=special)
        self.require_spelled(text, spelled, special=special)
        return ids

    def encode_prompt(self, text: str, *, special: bool = False) -> list[int]:
        """llama.cpp's own ids of a text, with the spaces it adds in front and behind added tokens; without BOS.

        Raises:
            ParameterError: as for `encode`.
        """
        exact = self.encode(text, special=special)
        return exact if self._pieces is None else self._pieces.encode_prompt(text, special)

    @cached_property
    def control_tokens(self) -> Mapping[str, int]:
        """The ids of the tokens that are not text, by their markup."""
        return {self._name_of(i): i for i in range(self.vocab_size) if self._has([i], MARKUP)}

    @cached_property
    def whole_tokens(self) -> frozenset[int]:
        """The tokens that the file defines as added by its user."""
        added = llama_cpp.LLAMA_TOKEN_ATTR_USER_DEFINED
        return frozenset(i for i in range(self.vocab_size) if self._has([i], added))

    def encode_part(self, text: str, special: bool) -> list[int]:
        if self._pieces is None:
            ids = self._tokenize(text, special)
        else:
            own = self._pieces.encode_own if special else self._pieces.encode_prompt
            ids = own(text, special)
        self._require_used(ids, text)
        if not special and not self._has(ids, _UNKNOWN):
            return self.encode_prompt(text)
        if self._pieces is not None or self.loses:  # of these only 'unknown' loses letters
            self._warn_of_unknown(ids, text, special)
        elif not self._spells(ids, text, special):
            raise self.unwritable_error(text, special=special)
        return ids

    def _warn_of_unknown(self, ids: Sequence[int], text: str, special: bool) -> None:
        unknown = [i for i in ids if self._has([i], _UNKNOWN)]
        if unknown and len(unknown) > (text.count(self._name_of(unknown[0])) if special else 0):
            cannot = lambda part: self._has(self._tokenize(part, False), _UNKNOWN)  # noqa: E731
            warn_of_unknown(missing_letters(self.unmatched_parts(text, special), cannot))

    def _spells(self, ids: Sequence[int], text: str, special: bool) -> bool:
        """Whether these tokens spell the text, but for the white space that some tokens take away next to them."""
        rest = text.encode()
        for token_id in ids:
            rest = rest.lstrip() if self._has([token_id], llama_cpp.LLAMA_TOKEN_ATTR_LSTRIP) else rest
            spelled = self._spelled([token_id], special)
            if not rest.startswith(spelled):
                return False
            rest = rest[len(spelled) :]
            rest = rest.lstrip() if self._has([token_id], llama_cpp.LLAMA_TOKEN_ATTR_RSTRIP) else rest
        return not rest

    def _require_used(self, ids: Sequence[int], text: str) -> None:
        """Raises `ParameterError` where a token that only fills the vocabulary stands for a part of the text."""
        for token_id in ids:
            if self._has([token_id], llama_cpp.LLAMA_TOKEN_ATTR_UNUSED):
                raise unused_token_error(self._name_of(token_id), text)

    def _has(self, ids: Sequence[int], attribute: int) -> bool:
        vocab = self._vocab()
        return any(int(llama_cpp.llama_vocab_get_attr(vocab, i)) & attribute for i in ids)

    def _name_of(self, token_id: int) -> str:
        name: bytes = llama_cpp.llama_vocab_get_text(self._vocab(), token_id)
        return name.decode("utf-8", "replace")

    def _spelled(self, ids: Sequence[int], special: bool) -> bytes:
        return b"".join(self._text_of(i, special=True) if special else self.token_bytes(i) or b"" for i in ids)

    def _tokenize(self, text: str, special: bool) -> list[int]:
        """llama.cpp's own ids, without BOS."""
        data = text.encode()
        if len(data) > _LONGEST_TEXT:
            raise ParameterError(f"a text of {len(data)} bytes is too long to tokenise at once")
        size = len(data) + 8  # at most one token per byte, and a few that a tokenizer puts in front
        while True:
            ids = (ctypes.c_int32 * size)()
            with self.model.in_use.lock:
                count = llama_cpp.llama_tokenize(self._vocab(), data, len(data), ids, size, False, special)
            if count >= 0:
                return list(ids[:count])
            if -count <= size:
                raise ParameterError(f"llama.cpp cannot tokenise this text of {len(data)} bytes")
            size = -count

    def known_token_bytes(self, token_id: int) -> bytes | None:
        piece = self._table[token_id]
        if piece is _UNASKED:
            control = llama_cpp.llama_vocab_is_control(self._vocab(), token_id)
            piece = None if control else self._text_of(token_id, special=False) or None
            self._table[token_id] = piece
        return piece

    def _text_of(self, token_id: int, *, special: bool) -> bytes:
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            with self.model.in_use.lock:
                count = llama_cpp.llama_token_to_piece(self._vocab(), token_id, buffer, size, 0, special)
            if count >= 0:
                return buffer.raw[:count]
            size = -count

    @cached_property
    def unknown_ids(self) -> Collection[int]:
        return [i for i in range(self.vocab_size) if self._has([i], _UNKNOWN)]

    def template_tokens(self) -> tuple[str, str]:
        ids = (int(which(self._vocab())) for which in (llama_cpp.llama_vocab_bos, llama_cpp.llama_vocab_eos))
        bos, eos = (self._text_of(i, special=True).decode("utf-8", "replace") if i >= 0 else "" for i in ids)
        return bos, eos

    def _digest(self) -> str:
        vocab, digest = self._vocab(), hashlib.sha256()
        for token_id in range(self.vocab_size):
            piece = self._text_of(token_id, special=True)
            attributes = int(llama_cpp.llama_vocab_get_attr(vocab, token_id))
            digest.update(f"{len(piece)} {attributes} ".encode() + piece)
        rest = (int(llama_cpp.llama_vocab_type(vocab)), self.bos_id, sorted(self.eos_ids), self.chat_template)
        digest.update(repr(rest).encode("utf-8", "replace"))
        return "sha256:" + digest.hexdigest()

    def _vocab(self) -> object:
        if not self.model.close.alive:
            raise AdapterError("the model is closed, and its tokenizer with it")
        return self.model.vocab
