"""Tokenizer settings of a GGUF file that transformers does not read: the space in front of texts, and more ends.

The format is that of ggml's docs/gguf.md, versions 2 and 3.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, BinaryIO

from decodekit.errors import ModelNotFound

__all__ = ["GgufFile"]

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_NORMAL, _CONTROL, _UNUSED, _BYTE = 1, 3, 5, 6
_UNKNOWN_BELOW_WORST = 10.0  # how much less 'unknown' scores than the worst token, in llama.cpp and tokenizers
_LARGEST = 2**28  # bytes of one value
_ENDS = ("eos", "eot", "eom")
_END_NAMES = {
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<end_of_turn>", "<|endoftext|>", "<|eom_id|>",
    "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>", "<end_of_utterance>", "</s>",
}  # fmt: skip
"""Control tokens that end a turn by their name, as llama.cpp has them (src/llama-vocab.cpp)."""

_WORDS_FIRST = {
    "llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano", "tekken",
}  # fmt: skip
"""The pre-tokenizers for which llama.cpp ignores merges and adds BOS unless the file says otherwise."""


class GgufFile:
    """The tokenizer's settings in the head of a GGUF file.

    Args:
        path: the file.

    Attributes:
        tokens: all tokens as the vocabulary writes them, by id.

    Raises:
        ModelNotFound: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                self._settings = _settings(file)
        except (OSError, struct.error, ValueError, KeyError) as error:
            raise ModelNotFound(f"the head of {path} cannot be read: {error}") from error
        self.tokens: list[str] = self._settings.get("tokenizer.ggml.tokens", [])
        self._kinds: list[int] = self._settings.get("tokenizer.ggml.token_type", [])

    @property
    def family(self) -> str:
        """llama.cpp's name of the tokenizer: 'llama' for sentencepiece, 't5' for its unigrams, 'gpt2' for bytes."""
        return str(self._settings.get("tokenizer.ggml.model", ""))

    @property
    def unused(self) -> frozenset[int]:
        """The tokens that only pad the vocabulary and have no text."""
        return frozenset(i for i, kind in enumerate(self._kinds) if kind == _UNUSED)

    @property
    def bytes(self) -> frozenset[int]:
        """The tokens that stand for a byte, which no text matches."""
        return frozenset(i for i, kind in enumerate(self._kinds) if kind == _BYTE)

    @property
    def never_matched(self) -> frozenset[int]:
        """The tokens of a unigram vocabulary that llama.cpp finds in no text.

        They are bytes, and those that fill the vocabulary with a score so low that even 'unknown' for each of their
        letters is better.
        """
        scores: list[float] = self._settings.get("tokenizer.ggml.scores", [])
        unknown = self.worst_score - _UNKNOWN_BELOW_WORST
        return self.bytes | {i for i in self.unused if scores[i] <= unknown * len(self.tokens[i])}

    @property
    def worst_score(self) -> float:
        """The lowest score of the normal tokens, from which that of 'unknown' follows."""
        scored = zip(self._settings.get("tokenizer.ggml.scores", []), self._kinds, strict=False)
        return min((score for score, kind in scored if kind == _NORMAL), default=0.0)

    @property
    def unknown_id(self) -> int:
        """The token that stands for what has none; of a unigram vocabulary that names none, llama.cpp takes 2."""
        return int(self._settings.get("tokenizer.ggml.unknown_token_id", 2))

    @property
    def prepends_space(self) -> bool:
        """Whether sentencepiece's space is put in front of a text and after each control token."""
        front = self._settings.get("tokenizer.ggml.add_space_prefix", self.family == "llama")
        return bool(front) or self.merges_spaces

    @property
    def merges_spaces(self) -> bool:
        """Whether a unigram vocabulary makes one space of many and drops those at the end; then one is in front too."""
        return self.family == "t5" and bool(self._settings.get("tokenizer.ggml.remove_extra_whitespaces"))

    @property
    def words_first(self) -> bool:
        """Whether a word that is a token is encoded as that token, whatever the merges say."""
        return self._settings.get("tokenizer.ggml.pre") in _WORDS_FIRST

    @property
    def bos_id(self) -> int | None:
        """The token a text begins with; None for none."""
        bos = self._settings.get("tokenizer.ggml.bos_token_id")
        adds = self._settings.get("tokenizer.ggml.add_bos_token", self.family == "llama" or self.words_first)
        return bos if adds and isinstance(bos, int) else None

    @property
    def eos_ids(self) -> list[int]:
        """The ends that the file names, and the control tokens that are ends by their name, as in llama.cpp."""
        named = [self._settings.get(f"tokenizer.ggml.{name}_token_id") for name in _ENDS]
        pairs = zip(self.tokens, self._kinds, strict=False)
        known = [i for i, (token, kind) in enumerate(pairs) if kind == _CONTROL and token in _END_NAMES]
        return [i for i in dict.fromkeys([*named, *known]) if isinstance(i, int)]


def _settings(file: BinaryIO) -> dict[str, Any]:
    if _take(file, 4) != b"GGUF":
        raise ValueError("it is not a GGUF file")
    _, _, count = struct.unpack("<IQQ", _take(file, 20))
    return {_string(file): _value(file, *struct.unpack("<I", _take(file, 4))) for _ in range(count)}


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _string(file)
    if kind != _ARRAY:
        layout = "<" + _SCALARS[kind]
        return struct.unpack(layout, _take(file, struct.calcsize(layout)))[0]
    each, size = struct.unpack("<IQ", _take(file, 12))
    if each in (_STRING, _ARRAY):
        return [_value(file, each) for _ in range(size)]
    width = struct.calcsize("<" + _SCALARS[each])
    return struct.unpack(f"<{size}{_SCALARS[each]}", _take(file, size * width))


def _string(file: BinaryIO) -> str:
    return _take(file, *struct.unpack("<Q", _take(file, 8))).decode("utf-8", "replace")


def _take(file: BinaryIO, size: int) -> bytes:
    data = file.read(size) if size <= _LARGEST else b""
    if len(data) < size:
        raise ValueError("it is truncated")
    return data
