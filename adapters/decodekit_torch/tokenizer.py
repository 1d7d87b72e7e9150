"""A transformers tokenizer as a `decodekit.text.tokenizer.Tokenizer`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tokenizers import normalizers

from decodekit.errors import ConfigError
from decodekit.text.huggingface import FastTokenizer

__all__ = ["TransformersTokenizer", "as_llama_cpp_reads_it"]

_SPACE = "\u2581"


class TransformersTokenizer(FastTokenizer):
    """Text to token ids and back, by a fast transformers tokenizer.

    Args:
        tokenizer: the transformers tokenizer; it is copied, not changed.
        vocab_size: the model's number of tokens; ids beyond the tokenizer's own have no text.
        eos_ids: tokens that end a generation beside the tokenizer's own.

    Raises:
        ConfigError: the tokenizer has more tokens than the model, or is of a family that is not understood.
    """

    def __init__(self, tokenizer: Any, *, vocab_size: int, eos_ids: Iterable[int] = ()) -> None:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise ConfigError(f"a {type(tokenizer).__name__} has no fast tokenizer; give an object of your own")
        own = [tokenizer.eos_token_id] if isinstance(tokenizer.eos_token_id, int) else []
        first = tokenizer("a")["input_ids"][:1]
        template = getattr(tokenizer, "chat_template", None)
        super().__init__(
            backend,
            vocab_size=vocab_size,
            eos_ids=(*own, *eos_ids),
            bos_id=tokenizer.bos_token_id if first == [tokenizer.bos_token_id] else None,
            markup={"bos_token": tokenizer.bos_token or "", "eos_token": tokenizer.eos_token or ""},
            chat_template=template.get("default") if isinstance(template, Mapping) else template,
        )


def as_llama_cpp_reads_it(tokenizer: Any, prepends_space: bool | None) -> Any:
    """The transformers tokenizer of a GGUF file, changed so that a text has the ids it has in llama.cpp.

    transformers builds every sentencepiece vocabulary with a space before a conversation that begins with plain text,
    whatever the file says. llama.cpp, whose format it is, writes one after each control token, or none.

    Args:
        tokenizer: the transformers tokenizer; it is changed.
        prepends_space: what the file says; None for a vocabulary that is no sentencepiece.
    """
    if prepends_space is not None:
        spell = normalizers.Replace(" ", _SPACE)
        front = [normalizers.Prepend(_SPACE)] if prepends_space else []
        tokenizer.backend_tokenizer.normalizer = normalizers.Sequence([*front, spell])
        tokenizer.backend_tokenizer.pre_tokenizer = None
    return tokenizer
