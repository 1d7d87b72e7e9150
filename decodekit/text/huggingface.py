"""A Hugging Face tokenizer as a `decodekit.model.adapter.Tokenizer`: tokens are bytes, and no byte of a text is lost.

Two families are understood: byte-level BPE (GPT-2, Llama 3, Qwen, SmolLM) and sentencepiece with byte fallback
(Llama 2, Mistral, Gemma). Whatever changes a text before it is split (NFC, lower case, sentencepiece's added space) is
left out: the ids of a text decode to that text and no other. Where transformers adds a space in front, write the space
yourself to have its ids.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

try:
    import tokenizers
except ImportError as error:
    from decodekit.errors import ConfigError

    raise ConfigError(f"a tokenizer.json needs the library tokenizers: pip install tokenizers ({error})") from error

from decodekit.errors import ConfigError, ParameterError
from decodekit.text.byte_alphabet import BYTES
from decodekit.text.chat import render_chat

__all__ = ["FastTokenizer", "read_tokenizer"]

_SPACE = "\u2581"  # what sentencepiece writes for a space


class FastTokenizer:
    """Text to token ids and back, by a tokenizer of the library tokenizers.

    Args:
        backend: the tokenizer; it is copied, not changed.
        vocab_size: the model's number of tokens, ids beyond the tokenizer's own having no text; by default the
            tokenizer's own.
        eos_ids: tokens that end a generation.
        bos_id: the token that a raw prompt starts with; None for none.
        markup: ``bos_token`` and ``eos_token`` as a chat template has them.
        chat_template: the model's own, in Jinja.

    Raises:
        ConfigError: the tokenizer has more tokens than the model, or is of a family that is not understood.
    """

    def __init__(
        self,
        backend: tokenizers.Tokenizer,
        *,
        vocab_size: int | None = None,
        eos_ids: Iterable[int] = (),
        bos_id: int | None = None,
        markup: Mapping[str, str] | None = None,
        chat_template: str | None = None,
    ) -> None:
        data = json.loads(backend.to_str())
        added = {int(i): token for i, token in backend.get_added_tokens_decoder().items()}
        pieces: dict[str, int] = backend.get_vocab(with_added_tokens=True)
        largest = max([*pieces.values(), *added], default=-1)
        size = largest + 1 if vocab_size is None else vocab_size
        if largest >= size:
            raise ConfigError(
                f"the tokenizer has a token {largest} and the model only {size} tokens: they do not belong together"
            )
        read = _reader_of(data.get("decoder"))
        self._table: list[bytes | None] = [None] * size
        for piece, token_id in pieces.items():
            self._table[token_id] = read(piece)
        for token_id, token in added.items():
            self._table[token_id] = None if token.special else str(token.content).encode()
        self._plain = _exact(data)
        self._plain.encode_special_tokens = True
        self._special = _exact(data)
        self._eos = frozenset(i for i in eos_ids if 0 <= i < size)
        self._bos = bos_id
        self._markup: dict[str, Any] = dict(markup or {})
        self.chat_template = chat_template

    @property
    def vocab_size(self) -> int:
        """The number of tokens of the model."""
        return len(self._table)

    @property
    def eos_ids(self) -> frozenset[int]:
        """The tokens that end a generation, by the tokenizer and the model's generation config."""
        return self._eos

    @property
    def bos_id(self) -> int | None:
        """The token a raw prompt starts with; None where there is none."""
        return self._bos

    @cached_property
    def fingerprint(self) -> str:
        """A digest over the vocabulary, the rules, the special tokens and the chat template."""
        rest = (len(self._table), self._bos, sorted(self._eos), self.chat_template)
        whole = self._special.to_str() + repr(rest)
        return "sha256:" + hashlib.sha256(whole.encode("utf-8", "replace")).hexdigest()

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """The ids of a text. Adds no BOS.

        Raises:
            ParameterError: the text holds half a surrogate pair, or the vocabulary cannot write it byte for byte.
        """
        try:
            data = text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ParameterError(f"the text is not valid Unicode at character {error.start}: {error.reason}") from None
        backend = self._special if special else self._plain
        ids: list[int] = backend.encode(text, add_special_tokens=False).ids
        if not special and self.decode(ids) != data:
            raise ParameterError(f"this vocabulary cannot write the text byte for byte: {text[:60]!r}")
        return ids

    def encode_messages(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """The ids of a conversation in the model's own chat template, ready for the assistant's answer.

        Raises:
            ParameterError: the messages are not of the right shape.
            ConfigError: the model has no template, or the template refuses the messages.
        """
        if self.chat_template is None:
            raise ConfigError("this model has no chat template; give it a text prompt instead")
        ids = self.encode(render_chat(self.chat_template, messages, **self._markup), special=True)
        if self._bos is not None and ids[:1] != [self._bos]:
            return [self._bos, *ids]  # a template that writes BOS itself has it already
        return ids

    def decode(self, ids: Sequence[int]) -> bytes:
        """The bytes of these tokens, control tokens left out."""
        return b"".join(self.token_bytes(token_id) or b"" for token_id in ids)

    def token_bytes(self, token_id: int) -> bytes | None:
        """The bytes of one token; None for a control token, or an id that the tokenizer does not use.

        Raises:
            ParameterError: the model has no such token.
        """
        if not 0 <= token_id < len(self._table):
            raise ParameterError(f"token id {token_id} lies outside the vocabulary of {len(self._table)} tokens")
        return self._table[token_id]


def read_tokenizer(path: Path, vocab_size: int | None = None) -> FastTokenizer:
    """The tokenizer of a folder that holds a ``tokenizer.json``, or of that file, with the settings beside it.

    Args:
        path: the folder or the file.
        vocab_size: the model's number of tokens; by default what ``config.json`` says, or the tokenizer's own.

    Raises:
        ConfigError: there is no such file, it is no tokenizer, or it has more tokens than the model.
    """
    file = path / "tokenizer.json" if path.is_dir() else path
    if not file.is_file():
        raise ConfigError(f"there is no tokenizer at {str(file)!r}; save_pretrained of transformers writes one")
    try:
        backend = tokenizers.Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises a bare Exception
        raise ConfigError(f"{str(file)!r} is not a tokenizer: {error}") from None
    named = ("tokenizer_config.json", "generation_config.json", "config.json")
    config, generation, model = (_settings(file.with_name(name)) for name in named)
    tokens = {name: config.get(name) or "" for name in ("bos_token", "eos_token")}
    markup = {name: token if isinstance(token, str) else token["content"] for name, token in tokens.items()}
    bos, eos = (backend.token_to_id(markup[name]) if markup[name] else None for name in ("bos_token", "eos_token"))
    ends = generation.get("eos_token_id")
    ends = ends if isinstance(ends, list) else [ends]
    adds_bos = config.get("add_bos_token")
    if adds_bos is None:
        adds_bos = backend.encode("a").ids[:1] == [bos]
    written = file.with_name("chat_template.jinja")
    template = written.read_text(encoding="utf-8") if written.is_file() else config.get("chat_template")
    if isinstance(template, list):
        template = next((each["template"] for each in template if each["name"] == "default"), None)
    return FastTokenizer(
        backend,
        vocab_size=vocab_size or model.get("vocab_size") or model.get("text_config", {}).get("vocab_size"),
        eos_ids=[token for token in (eos, *ends) if isinstance(token, int)],
        bos_id=bos if adds_bos else None,
        markup=markup,
        chat_template=template,
    )


def _settings(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{str(file)!r} cannot be read: {error}") from None
    return settings if isinstance(settings, dict) else {}


def _parts(rule: Any) -> list[dict[str, Any]]:
    """The rules of a sequence, or the one rule."""
    if rule is None:
        return []
    for key in ("decoders", "normalizers", "pretokenizers"):
        if key in rule:
            return [part for each in rule[key] for part in _parts(each)]
    return [rule]


def _reader_of(decoder: Any) -> Any:
    """From a token as the vocabulary writes it to its bytes."""
    kinds = {part["type"] for part in _parts(decoder)}
    if "ByteLevel" in kinds:
        return _byte_level
    if kinds & {"ByteFallback", "Metaspace"}:
        return _sentencepiece
    listed = ", ".join(sorted(kinds)) or "none"
    raise ConfigError(f"a tokenizer whose decoder is {listed} has no bytes for its tokens; give an object of your own")


def _byte_level(piece: str) -> bytes:
    try:
        return bytes(BYTES[character] for character in piece)
    except KeyError:  # not written in the alphabet of bytes: a token added later
        return piece.encode()


def _sentencepiece(piece: str) -> bytes:
    if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
        return bytes([int(piece[3:5], 16)])
    return piece.replace(_SPACE, " ").encode()


def _exact(data: dict[str, Any]) -> tokenizers.Tokenizer:
    """The tokenizer without what adds to a text or changes it; spaces are still written in sentencepiece's way."""
    kept = [
        part
        for part in _parts(data.get("normalizer"))
        if part["type"] == "Replace" and part.get("content") == _SPACE and part.get("pattern") == {"String": " "}
    ]
    split = _parts(data.get("pre_tokenizer"))
    for part in split:
        if part["type"] == "ByteLevel":
            part["add_prefix_space"] = False
        if part["type"] == "Metaspace":
            part["prepend_scheme"] = "never"
    plain = {
        **data,
        "normalizer": {"type": "Sequence", "normalizers": kept} if kept else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": split} if split else None,
        "truncation": None,
        "padding": None,
    }
    return tokenizers.Tokenizer.from_str(json.dumps(plain))
