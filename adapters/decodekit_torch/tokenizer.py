"""A transformers tokenizer as a `decodekit.text.tokenizer.Tokenizer`."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, normalizers, processors

from decodekit.errors import ConfigError
from decodekit.text.huggingface import FastTokenizer
from decodekit.text.rules import SPACE_BEFORE_SPACES
from decodekit_torch.gguf_file import GgufFile

__all__ = ["TransformersTokenizer", "as_llama_cpp_reads_it"]

_SPACE = "\u2581"
_MERGED = ((r"\A +| +\z", ""), (" {2,}", " "))  # sentencepiece's remove_extra_whitespaces


class TransformersTokenizer(FastTokenizer):
    """Text to token ids and back, with a fast transformers tokenizer.

    Args:
        tokenizer: the transformers tokenizer; it is copied, not changed.
        vocab_size: the model's number of tokens; ids beyond the tokenizer's own have no text.
        eos_ids: tokens that end a generation, in addition to the tokenizer's own.
        unused: tokens that only fill the vocabulary.

    Raises:
        ConfigError: the tokenizer has more tokens than the model, or is of a family that is not supported.
    """

    def __init__(
        self, tokenizer: Any, *, vocab_size: int, eos_ids: Iterable[int] = (), unused: Collection[int] = ()
    ) -> None:
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
            unused=unused,
        )


def as_llama_cpp_reads_it(tokenizer: Any, file: GgufFile) -> Any:
    """The transformers tokenizer of a GGUF file, rebuilt so that a text has the same ids as in llama.cpp.

    transformers (5.23) gives every sentencepiece vocabulary a space before a text that begins with no control token,
    whatever the file says; llama.cpp, whose format it is, writes one after each control token too, or none.
    transformers also adds tokens that the file does not have, such as GPT-2's ``<|endoftext|>``. In a unigram
    vocabulary it takes token 2 for 'unknown' and byte tokens for texts, gives padding the names that T5 has, and does
    not read whether spaces are merged. Unused tokens stay in the vocabulary, as in llama.cpp; a text that has one is
    refused.

    Args:
        tokenizer: the transformers tokenizer; it is not changed.
        file: the GGUF file it was made from.
    """
    import transformers

    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    added, vocab = rules["added_tokens"], rules["model"]["vocab"]
    kept = set(range(len(file.tokens))) - file.unused
    rules["added_tokens"] = [token | {"content": file.tokens[i]} for token in added if (i := token["id"]) in kept]
    if isinstance(vocab, dict):
        rules["model"]["ignore_merges"] = rules["model"].get("ignore_merges") or file.words_first
    if file.family == "t5":
        rules["model"]["unk_id"] = file.unknown_id
        hidden, worst = file.never_matched, file.worst_score
        rules["model"]["vocab"] = [
            [f" {token}", worst] if i in hidden else [token, score]
            for i, (token, (_, score)) in enumerate(zip(file.tokens, vocab, strict=False))
        ]  # spaces are spelled another way in texts, so no text matches a token with one
    backend = Tokenizer.from_str(json.dumps(rules))
    if file.family == "t5" and file.bytes:
        backend.decoder = decoders.Sequence([decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()])
    if file.family in ("llama", "t5"):
        own = [] if file.family == "llama" or backend.normalizer is None else [backend.normalizer]
        merged = [normalizers.Replace(Regex(pattern), text) for pattern, text in _MERGED] if file.merges_spaces else []
        front: list[Any] = [normalizers.Prepend(_SPACE)] if file.prepends_space else []
        if front and file.family == "t5":
            front.append(normalizers.Replace(Regex(SPACE_BEFORE_SPACES), ""))
        spaces = normalizers.Replace(" ", _SPACE)
        backend.normalizer = normalizers.Sequence([*own, *merged, *front, spaces])
        backend.pre_tokenizer = None
    if file.bos_id is not None:
        bos = backend.id_to_token(file.bos_id)
        backend.post_processor = processors.TemplateProcessing(single=f"{bos} $A", special_tokens=[(bos, file.bos_id)])
    names = {name: getattr(tokenizer, name, None) for name in ("bos_token", "eos_token", "chat_template")}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **names)
