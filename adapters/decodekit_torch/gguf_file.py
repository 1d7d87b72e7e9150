"""What a GGUF file says of its tokenizer and transformers does not read: the space in front of texts, and more ends.

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
_CONTROL = 3
_ENDS = ("eos", "eot", "eom")
_END_NAMES = {
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<end_of_turn>", "<|endoftext|>", "<|eom_id|>",
    "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>", "<end_of_utterance>", "</s>",
}  # fmt: skip
"""Control tokens that end a turn by their name, as llama.cpp has them (src/llama-vocab.cpp)."""


class GgufFile:
    """The tokenizer's settings in the head of a GGUF file.

    Args:
        path: the file.

    Raises:
        ModelNotFound: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                self._settings = _settings(file)
        except (OSError, struct.error, ValueError, KeyError) as error:
            raise ModelNotFound(f"the head of {path} cannot be read: {error}") from error

    @property
    def prepends_space(self) -> bool | None:
        """Whether sentencepiece's space stands before every text and after every control token, as llama.cpp reads it;
        None for other vocabularies.
        """
        if self._settings.get("tokenizer.ggml.model") != "llama":
            return None
        return bool(self._settings.get("tokenizer.ggml.add_space_prefix", True))

    @property
    def eos_ids(self) -> list[int]:
        """The ends that the file names, and the control tokens that are ends by their name, as in llama.cpp."""
        named = [self._settings.get(f"tokenizer.ggml.{name}_token_id") for name in _ENDS]
        tokens = self._settings.get("tokenizer.ggml.tokens", [])
        types = self._settings.get("tokenizer.ggml.token_type", [])
        known = [i for i, (token, kind) in enumerate(zip(tokens, types, strict=False)) if _is_end(token, kind)]
        return [i for i in dict.fromkeys([*named, *known]) if isinstance(i, int)]


def _is_end(token: str, kind: int) -> bool:
    return kind == _CONTROL and token in _END_NAMES


def _settings(file: BinaryIO) -> dict[str, Any]:
    if file.read(4) != b"GGUF":
        raise ValueError("it is no GGUF file")
    _, _, count = struct.unpack("<IQQ", file.read(20))
    return {_string(file): _value(file, *struct.unpack("<I", file.read(4))) for _ in range(count)}


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _string(file)
    if kind != _ARRAY:
        layout = "<" + _SCALARS[kind]
        return struct.unpack(layout, file.read(struct.calcsize(layout)))[0]
    each, size = struct.unpack("<IQ", file.read(12))
    if each in (_STRING, _ARRAY):
        return [_value(file, each) for _ in range(size)]
    layout = f"<{size}{_SCALARS[each]}"
    return struct.unpack(layout, file.read(struct.calcsize(layout)))


def _string(file: BinaryIO) -> str:
    (size,) = struct.unpack("<Q", file.read(8))
    return file.read(size).decode("utf-8", "replace")
