"""A transformers tokenizer as a `decodekit.text.tokenizer.Tokenizer`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from tokenizers import Tokenizer, normalizers, processors

from decodekit.errors import ConfigError
from decodekit.text.huggingface import FastTokenizer
from decodekit_torch.gguf_file import GgufFile

__all__ = ["TransformersTokenizer", "as_llama_cpp_reads_it"]

_SPACE = "\u2581"


class TransformersTokenizer(FastTokenizer):
    """Text to token ids and back, with a fast transformers tokenizer.

    Args:
        tokenizer: the transformers tokenizer; it is copied, not changed.
        vocab_size: the model's number of tokens; ids beyond the tokenizer's own have no text.
        eos_ids: tokens that end a generation, in addition to the tokenizer's own.

    Raises:
        ConfigError: the tokenizer has more tokens than the model, or is of a family that is not supported.
    """

    def __init__(self, tokenizer: Any, *, vocab_size: int, eos_ids: Iterable[int] = ()) -> None:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise ConfigError(f"a {type(tokenizer).__name__} has no fast tokenizer; pass your own tokenizer object")
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


def as_llama_cpp_reads_it(tokenizer: Any, file: GgufFile) -> Any:
    """The transformers tokenizer of a GGUF file, rebuilt so that a text has the same ids as in llama.cpp.

    transformers (5.23) gives every sentencepiece vocabulary a space before a text that begins with no control token,
    whatever the file says; llama.cpp, whose format it is, writes one after each control token too, or none.
    transformers also adds tokens that the file does not have, such as GPT-2's ``<|endoftext|>``, and gives text to
    unused ones.

    Args:
        tokenizer: the transformers tokenizer; it is not changed.
        file: the GGUF file it was made from.
    """
    import transformers

    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    rules["added_tokens"] = [token for token in rules["added_tokens"] if token["id"] < file.tokens]
    vocab, unused = rules["model"]["vocab"], file.unused
    if isinstance(vocab, dict):
        rules["model"]["vocab"] = {token: i for token, i in vocab.items() if i not in unused}
        rules["model"]["ignore_merges"] = rules["model"].get("ignore_merges") or file.words_first
    backend = Tokenizer.from_str(json.dumps(rules))
    if file.family in ("llama", "t5"):
        own = [] if file.family == "llama" or backend.normalizer is None else [backend.normalizer]
        front = [normalizers.Prepend(_SPACE)] if file.prepends_space else []
        backend.normalizer = normalizers.Sequence([*own, *front, normalizers.Replace(" ", _SPACE)])
        backend.pre_tokenizer = None
    if file.bos_id is not None:
        bos = backend.id_to_token(file.bos_id)
        backend.post_processor = processors.TemplateProcessing(single=f"{bos} $A", special_tokens=[(bos, file.bos_id)])
    names = {name: getattr(tokenizer, name, None) for name in ("bos_token", "eos_token", "chat_template")}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **names)
