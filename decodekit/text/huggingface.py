"""A Hugging Face tokenizer as a `decodekit.text.tokenizer.Tokenizer`: tokens are bytes, and no byte of a text is lost.

Byte-level BPE (GPT-2, Llama 3, Qwen, SmolLM), sentencepiece with and without byte fallback (Llama 2, Mistral, Gemma),
unigrams and WordPiece are supported. What changes a text before it is split (NFC, lower case, sentencepiece's added
space) is left out of `FastTokenizer.encode`, so that the ids of a text decode to exactly that text; the tokens of a
conversation are those of transformers, with these changes. WordPiece cannot be exact; ``loses`` says what is lost.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

try:
    import tokenizers
except ImportError as error:
    from decodekit.errors import ConfigError

    raise ConfigError(f"a tokenizer.json needs the library tokenizers: pip install tokenizers ({error})") from error

from decodekit.errors import ConfigError, ParameterError
from decodekit.log import get_logger
from decodekit.text import rules
from decodekit.text.base import BaseTokenizer
from decodekit.text.folder import Folder
from decodekit.text.unwritten import unused_token_error, unwritable_error, warn_of_unknown
from decodekit.text.utf8 import utf8

__all__ = ["FastTokenizer", "read_tokenizer"]


class FastTokenizer(BaseTokenizer):
    """Text to token ids and back, with a tokenizer of the library tokenizers.

    Args:
        backend: the tokenizer; it is copied, not changed.
        vocab_size: the model's number of tokens; ids beyond the tokenizer's own have no text. By default the
            tokenizer's own.
        eos_ids: tokens that end a generation.
        bos_id: the token that a raw prompt starts with; None for none.
        markup: ``bos_token`` and ``eos_token`` as a chat template has them.
        chat_template: the model's own, in Jinja.
        unused: tokens that only fill the vocabulary. They have no text, and a text that has one of them is refused.

    Attributes:
        left_out: the normalisations that act on conversations and not on a text that is given, such as 'NFC'.

    Raises:
        ConfigError: the tokenizer has more tokens than the model, or is of a family that is not supported.
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
        unused: Collection[int] = (),
    ) -> None:
        self._rules = backend.to_str()
        data = json.loads(self._rules)
        self._spaces_in_parts = rules.space_in_front(data, parts=True) != "never"
        added = {int(i): token for i, token in backend.get_added_tokens_decoder().items()}
        pieces: dict[str, int] = backend.get_vocab(with_added_tokens=True)
        largest = max([*pieces.values(), *added], default=-1)
        size = largest + 1 if vocab_size is None else vocab_size
        if largest >= size:
            raise ConfigError(
                f"the tokenizer has a token {largest} and the model only {size} tokens: they do not belong together"
            )
        super().__init__(
            size,
            eos_ids=eos_ids,
            bos_id=bos_id,
            chat_template=chat_template,
            space_in_front=rules.space_in_front(data),
            loses=rules.loses(data),
        )
        self._table = _bytes_of_all(size, pieces, added, rules.reader_of(data))
        self._controls = {i: str(token.content).encode() for i, token in added.items() if token.special}
        for token_id in unused:
            self._table[token_id] = None
        self._unused = frozenset(unused)
        self._unknown_text = rules.unknown_of(data)
        self._unknown = pieces.get(self._unknown_text)
        self._plain, self._special = _pair(data, spaces=False)
        self._names = dict(markup or {})
        self.left_out = rules.left_out(data)
        self.warn_of_limits()
        if self.left_out:
            get_logger().info("texts are encoded unchanged, conversations are normalised", by=self.left_out)

    @cached_property
    def fingerprint(self) -> str:
        """A digest over the vocabulary, the rules, the special tokens and the chat template."""
        rest = (self.vocab_size, self.bos_id, sorted(self.eos_ids), self.chat_template)
        whole = self._rules + repr(rest)
        return "sha256:" + hashlib.sha256(whole.encode("utf-8", "replace")).hexdigest()

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """The ids of a text. Adds no BOS and no space; with ``special`` markup is read as control tokens.

        Raises:
            ParameterError: the text holds half a surrogate pair, or the vocabulary cannot encode it byte for byte.
        """
        utf8(text, "the text")
        ids: list[int] = self._encoded(self._special if special else self._plain, text).ids
        self.require_known(text, self._has_unknown(text, ids, special))
        self.require_spelled(text, self._spelled(ids, special))
        return ids

    def encode_prompt(self, text: str, *, special: bool = False) -> list[int]:
        """The ids of a text with the spaces that the tokenizer adds, in front or behind added tokens; without BOS.

        Raises:
            ParameterError: as for `encode`.
        """
        exact = self.encode(text, special=special)
        if self.space_in_front == "never":
            return exact
        ids: list[int] = self._encoded(self._spacing[special], text).ids
        self.require_known(text, self._has_unknown(text, ids, special))
        if self._spelled(ids, special).replace(b" ", b"") != text.encode().replace(b" ", b""):
            raise ParameterError(f"this vocabulary cannot encode the text as a prompt: {text[:60]!r}")
        return ids

    def _encoded(self, backend: tokenizers.Tokenizer, text: str) -> Any:
        """The library's encoding. Raises `ParameterError` where it finds no token and knows no 'unknown'."""
        try:
            encoding = backend.encode(text, add_special_tokens=False)
        except Exception:  # the library raises a bare Exception
            raise self.unwritable_error(text) from None
        unused = next((i for i in encoding.ids if i in self._unused), None)
        if unused is not None:
            raise unused_token_error(str(backend.id_to_token(unused)), text)
        return encoding

    def _has_unknown(self, text: str, ids: list[int], special: bool) -> bool:
        named = special and self._unknown_text in text
        return self._unknown is not None and self._unknown in ids and not named

    def _spelled(self, ids: list[int], special: bool) -> bytes:
        markup = self._controls if special else {}
        return b"".join(markup.get(i) or self._table[i] or b"" for i in ids)

    @cached_property
    def _spacing(self) -> tuple[tokenizers.Tokenizer, tokenizers.Tokenizer]:
        """As `_plain` and `_special`, with the spaces that the tokenizer adds."""
        return _pair(json.loads(self._rules), spaces=True)

    @cached_property
    def _own(self) -> tokenizers.Tokenizer:
        """With all that the tokenizer adds to a text and changes in it. For conversations only."""
        own = tokenizers.Tokenizer.from_str(self._rules)
        own.no_truncation()
        own.no_padding()
        return own

    @cached_property
    def _marking(self) -> tokenizers.Tokenizer | None:
        """`_own` with some token for each letter that it would drop; None where it drops none."""
        data = rules.marking_what_is_dropped(json.loads(self._rules))
        return None if data is None else tokenizers.Tokenizer.from_str(json.dumps(data))

    def _drops(self, text: str) -> bool:
        if self._marking is None:
            return False
        marked: list[int] = self._marking.encode(text, add_special_tokens=False).ids
        own: list[int] = self._encoded(self._own, text).ids
        return marked != own

    def known_token_bytes(self, token_id: int) -> bytes | None:
        return self._table[token_id]

    @cached_property
    def control_tokens(self) -> Mapping[str, int]:
        """The ids of the tokens that are not text, by their markup."""
        return {markup.decode(): token_id for token_id, markup in self._controls.items()}

    @cached_property
    def whole_tokens(self) -> frozenset[int]:
        """The added tokens that have a text."""
        added = self._plain.get_added_tokens_decoder()
        return frozenset(i for i, token in added.items() if not token.special)

    def encode_part(self, text: str, special: bool) -> list[int]:
        if not special:
            return self.encode_prompt(text) if self._spaces_in_parts else self.encode(text)
        encoding = self._encoded(self._own, text)
        if self._drops(text):
            raise unwritable_error(text, self._drops)
        named = zip(encoding.ids, encoding.offsets, strict=True)
        letters = [text[start:end] for token_id, (start, end) in named if token_id == self._unknown]
        if any(each != self._unknown_text for each in letters):
            warn_of_unknown(each for each in letters if each != self._unknown_text)
        ids: list[int] = encoding.ids
        return ids

    def template_tokens(self) -> tuple[str, str]:
        return self._names.get("bos_token", ""), self._names.get("eos_token", "")


def _bytes_of_all(
    size: int, pieces: Mapping[str, int], added: Mapping[int, Any], read: Callable[[str], bytes]
) -> list[bytes | None]:
    """The bytes of each token; None for a control token, and for an id without a token."""
    table: list[bytes | None] = [None] * size
    for piece, token_id in pieces.items():
        table[token_id] = read(piece)
    for token_id, token in added.items():
        table[token_id] = None if token.special else str(token.content).encode()
    return table


def _pair(data: dict[str, Any], *, spaces: bool) -> tuple[tokenizers.Tokenizer, tokenizers.Tokenizer]:
    """One that reads markup as plain text, and one that reads it as control tokens."""
    plain, special = (
        tokenizers.Tokenizer.from_str(json.dumps(rules.exact(data, spaces=spaces, markup=markup)))
        for markup in (False, True)
    )
    plain.encode_special_tokens = True
    return plain, special


def read_tokenizer(path: str | Path, vocab_size: int | None = None) -> FastTokenizer:
    """The tokenizer of a folder that holds a ``tokenizer.json``, or of that file, with the settings next to it.

    Args:
        path: the folder or the file.
        vocab_size: the model's number of tokens; by default what ``config.json`` says, or the tokenizer's own.

    Raises:
        ConfigError: there is no such file, it is not a tokenizer, or it has more tokens than the model.
    """
    path = Path(path).expanduser()
    file = path / "tokenizer.json" if path.is_dir() else path
    if not file.is_file():
        raise ConfigError(f"there is no tokenizer at {str(file)!r}; save_pretrained of transformers writes one")
    try:
        backend = tokenizers.Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises a bare Exception
        raise ConfigError(f"{str(file)!r} is not a tokenizer: {error}") from None
    folder = Folder(file.parent)
    markup = {name: folder.token(name) for name in ("bos_token", "eos_token")}
    bos, eos = (backend.token_to_id(markup[name]) if markup[name] else None for name in ("bos_token", "eos_token"))
    adds_bos = folder.adds_bos
    if adds_bos is None:
        adds_bos = backend.encode("a").ids[:1] == [bos]
    return FastTokenizer(
        backend,
        vocab_size=vocab_size or folder.vocab_size,
        eos_ids=[*([] if eos is None else [eos]), *folder.eos_ids],
        bos_id=bos if adds_bos else None,
        markup=markup,
        chat_template=folder.chat_template,
    )
