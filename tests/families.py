"""Small models of every family of tokenizers, made here: as GGUF files and as folders that transformers reads.

One vocabulary, one template, random weights. Each is made once per process.
"""

from __future__ import annotations

import atexit
import functools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from decodekit.text.byte_alphabet import BYTES

__all__ = ["FOLDERS", "GGUFS", "TEMPLATE", "folder", "gguf_file", "settings_of"]

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}[INST] {{ m.content }} [/INST]{% if not loop.last %}<|im_end|>\n"
    "{% endif %}{% endfor %}"
)
CONTROL = ["<unk>", "<s>", "</s>", "<|im_end|>"]
USER_DEFINED = ["<think>", "</think>"]
_SPELLED_WORDS = (
    "▁h hi ▁hi ▁[ IN ST INST ▁▁ ▁a ll he hell hello ▁hello th the ▁the ▁c at cat ▁cat ▁s sat ▁sat on ▁on ▁th ▁t in ing"
    " ▁n is as ni nis ▁New York ▁Y or ork"
)
_WORDS = _SPELLED_WORDS.split()
_LETTERS = [*map(chr, range(33, 127)), "▁", "\n", "é", "東", "京"]
NORMAL, UNKNOWN, CONTROLS, USER, UNUSED, BYTE = 1, 2, 3, 4, 5, 6


@functools.cache
def _room() -> Path:
    """A folder that goes when the process ends."""
    folder = tempfile.TemporaryDirectory(prefix="decodekit-families-")
    atexit.register(folder.cleanup)
    return Path(folder.name)


# -- vocabularies ------------------------------------------------------------------------------------------------------


def sentencepiece(*, byte_tokens: bool = True, added: bool = True) -> list[tuple[str, int, float]]:
    """(token, kind, score) as sentencepiece has them."""
    found = [(token, UNKNOWN if token == "<unk>" else CONTROLS, 0.0) for token in CONTROL]
    found += [(f"<0x{byte:02X}>", BYTE, 0.0) for byte in range(256)] if byte_tokens else []
    found += [(token, USER, 0.0) for token in USER_DEFINED] if added else []
    found += [(word, NORMAL, -float(rank)) for rank, word in enumerate(_WORDS, 1)]
    letters = [letter for letter in _LETTERS if letter != "\n"] if byte_tokens else [*_LETTERS, "\t"]
    return found + [(letter, NORMAL, -1000.0 - rank) for rank, letter in enumerate(letters)]


def byte_level() -> list[tuple[str, int, float]]:
    """(token, kind, 0) as GPT-2 and its kin have them."""
    words = [spelled(word.replace("▁", " ")) for word in _WORDS]
    found = [(token, CONTROLS, 0.0) for token in CONTROL[1:]] + [(token, USER, 0.0) for token in USER_DEFINED]
    return found + [(token, NORMAL, 0.0) for token in dict.fromkeys([*BYTES, *words])]


def padded(vocabulary: list[tuple[str, int, float]], *names: str) -> list[tuple[str, int, float]]:
    """With unused tokens at the end: some of padding, some with a name that is a text like others."""
    return [*vocabulary, *((name, UNUSED, 0.0) for name in ("[PAD0]", "[PAD1]", *names))]


def without(vocabulary: list[tuple[str, int, float]], *tokens: str) -> list[tuple[str, int, float]]:
    """Without some tokens, so that some letters cannot be written."""
    return [each for each in vocabulary if each[0] not in tokens]


def word_piece() -> list[tuple[str, int, float]]:
    """(token, kind, 0) as BERT has them."""
    letters = [chr(i) for i in range(33, 127) if not chr(i).isupper()]
    words = ["the", "cat", "sat", "##s", "hello", "##llo", *letters, *(f"##{letter}" for letter in letters)]
    special = [(token, UNKNOWN if token == "[UNK]" else CONTROLS, 0.0) for token in ("[UNK]", "[CLS]", "[SEP]")]
    return special + [(token, NORMAL, 0.0) for token in dict.fromkeys(words)]


def spelled(text: str) -> str:
    """A text in the alphabet of bytes."""
    letter = {byte: character for character, byte in BYTES.items()}
    return "".join(letter[byte] for byte in text.encode())


def merges_of(words: list[str]) -> list[tuple[str, str]]:
    """Every way to merge two tokens into one of these, the best word first."""
    known, ranks = set(words), {word: rank for rank, word in enumerate(words)}
    found = [
        (word[:cut], word[cut:])
        for word in words
        for cut in range(1, len(word))
        if word[:cut] in known and word[cut:] in known
    ]
    return sorted(found, key=lambda pair: ranks[pair[0] + pair[1]])


# -- folders -----------------------------------------------------------------------------------------------------------


def _bpe(vocabulary: list[tuple[str, int, float]]) -> Tokenizer:
    words = [token for token, kind, _ in vocabulary if kind == NORMAL]
    vocab = {token: i for i, (token, _, _) in enumerate(vocabulary)}
    fallback = any(kind == BYTE for _, kind, _ in vocabulary)
    unknown = "<unk>" if "<unk>" in vocab else None
    backend = Tokenizer(
        models.BPE(vocab, merges_of(words), unk_token=unknown, fuse_unk=unknown is not None, byte_fallback=fallback)
    )
    return _with_added(backend, vocabulary)


def _with_added(backend: Tokenizer, vocabulary: list[tuple[str, int, float]], **flags: Any) -> Tokenizer:
    special = [token for token, kind, _ in vocabulary if kind in (CONTROLS, UNKNOWN)]
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    backend.add_tokens([AddedToken(token, normalized=False, **flags) for token, kind, _ in vocabulary if kind == USER])
    first = "<s>" if "<s>" in special else None
    if first:
        id_ = backend.token_to_id(first)
        backend.post_processor = processors.TemplateProcessing(single=f"{first} $A", special_tokens=[(first, id_)])
    return backend


_DECODER = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]


def _legacy(**vocabulary: Any) -> Tokenizer:
    backend = _bpe(sentencepiece(**vocabulary))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(_DECODER)
    return backend


def _metaspace(scheme: str) -> Tokenizer:
    backend = _bpe(sentencepiece())
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
    backend.decoder = decoders.Sequence(_DECODER)
    return backend


def _unigram(*, byte_tokens: bool = False) -> Tokenizer:
    vocabulary = sentencepiece(byte_tokens=byte_tokens)
    scores = [(token, score) for token, _, score in vocabulary]
    backend = Tokenizer(models.Unigram(scores, unk_id=0, byte_fallback=byte_tokens))
    backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    backend.decoder = decoders.Sequence(_DECODER) if byte_tokens else decoders.Metaspace(prepend_scheme="always")
    return _with_added(backend, vocabulary)


def _byte_level(normalizer: Any = None, missing: tuple[str, ...] = (), **added: Any) -> Tokenizer:
    vocabulary = without(byte_level(), *missing)
    words = [token for token, kind, _ in vocabulary if kind == NORMAL]
    vocab = {token: i for i, (token, _, _) in enumerate(vocabulary)}
    backend = Tokenizer(models.BPE(vocab, merges_of(words), ignore_merges=True))
    backend.normalizer = normalizer
    split = (  # Llama 3's
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    in_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(split), "isolated"), in_bytes])
    backend.decoder = decoders.ByteLevel()
    return _with_added(backend, vocabulary, **added)


def _word_piece() -> Tokenizer:
    vocabulary = word_piece()
    vocab = {token: i for i, (token, _, _) in enumerate(vocabulary)}
    backend = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    return _with_added(backend, vocabulary)


_MISSING = (spelled("~"), spelled("\x04"), spelled("\U0010fffd")[0])  # the last begins letters of four bytes

FOLDERS: dict[str, Callable[[], Tokenizer]] = {
    "legacy": _legacy,
    "no bytes": lambda: _legacy(byte_tokens=False),
    "first": lambda: _metaspace("first"),
    "always": lambda: _metaspace("always"),
    "never": lambda: _metaspace("never"),
    "unigram": _unigram,
    "unigram with bytes": lambda: _unigram(byte_tokens=True),
    "tiktoken": _byte_level,
    "tiktoken, NFC": lambda: _byte_level(normalizers.NFC()),
    "tiktoken, lower case": lambda: _byte_level(normalizers.Lowercase()),
    "tiktoken, added tokens that strip": lambda: _byte_level(lstrip=True, rstrip=True),
    "tiktoken, not all bytes": lambda: _byte_level(missing=_MISSING),
    "padded": _byte_level,
    "word pieces": _word_piece,
}
_PADDING = 60


@functools.cache
def folder(name: str) -> Path:
    """A folder with a tokenizer, its settings and a one-layer Llama, as save_pretrained writes it."""
    import torch
    import transformers

    where = _room() / name
    backend = FOLDERS[name]()
    names = {"unk_token": "[UNK]"} if name == "word pieces" else {"bos_token": "<s>", "eos_token": "</s>"}
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **names)
    fast.chat_template = TEMPLATE
    fast.save_pretrained(where)
    size = len(fast) + (_PADDING if name == "padded" else 0)
    config = transformers.LlamaConfig(
        vocab_size=size, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=256,
        bos_token_id=backend.token_to_id("<s>"), eos_token_id=backend.token_to_id("</s>"), pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(config).save_pretrained(where)
    return where


def settings_of(where: Path, **files: Any) -> None:
    """Write settings over what is in a folder; None removes the file."""
    for name, content in files.items():
        file = where / f"{name}.json"
        if content is None:
            file.unlink(missing_ok=True)
        else:
            file.write_text(json.dumps(content))


# -- GGUF files --------------------------------------------------------------------------------------------------------

GGUFS: dict[str, tuple[str, Callable[[], list[tuple[str, int, float]]], dict[str, Any]]] = {
    "legacy.gguf": ("llama", sentencepiece, {"add_space_prefix": True}),
    "no bytes.gguf": ("llama", lambda: sentencepiece(byte_tokens=False), {"add_space_prefix": True}),
    "never.gguf": ("llama", sentencepiece, {"add_space_prefix": False}),
    "unigram.gguf": ("t5", lambda: sentencepiece(byte_tokens=False), {"add_space_prefix": True}),
    "unigram with bytes.gguf": (
        "t5",
        lambda: [*sentencepiece(), ("\n", NORMAL, -2000.0)],
        {"add_space_prefix": True},
    ),
    "unigram that merges spaces.gguf": (
        "t5",
        lambda: sentencepiece(byte_tokens=False),
        {"add_space_prefix": False, "remove_extra_whitespaces": True},
    ),
    "not all bytes.gguf": (
        "llama",
        lambda: without(sentencepiece(), "<0x04>", "<0xF0>"),
        {"add_space_prefix": True},
    ),
    "legacy, padded.gguf": ("llama", lambda: padded(sentencepiece(), "qz"), {"add_space_prefix": True}),
    "unigram, padded.gguf": (
        "t5",
        lambda: padded(sentencepiece(byte_tokens=False), "qz"),
        {"add_space_prefix": True},
    ),
    "tiktoken.gguf": ("gpt2", byte_level, {}),
    "tiktoken, not all bytes.gguf": ("gpt2", lambda: without(byte_level(), *_MISSING), {}),
    "padded.gguf": (
        "gpt2",
        lambda: [*byte_level(), *((f"[PAD{i}]", UNUSED, 0.0) for i in range(_PADDING))],
        {},
    ),
    "word pieces.gguf": ("bert", word_piece, {}),
}


@functools.cache
def gguf_file(name: str) -> Path:
    """A GGUF file with the tokenizer and a one-layer Llama."""
    import gguf

    kind, vocabulary, flags = GGUFS[name]
    listed = vocabulary()
    path = _room() / name.replace(" ", "-")
    writer = gguf.GGUFWriter(str(path), "llama")
    _add_shape(writer, len(listed))
    _add_tokenizer(writer, kind, listed, flags)
    for tensor, value in _weights(len(listed)).items():
        writer.add_tensor(f"{tensor}.weight", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


_WIDTH, _HEADS, _INNER = 32, 2, 64


def _add_shape(writer: Any, size: int) -> None:
    writer.add_context_length(256)
    writer.add_embedding_length(_WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(_INNER)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(_WIDTH // _HEADS)
    writer.add_vocab_size(size)
    writer.add_file_type(0)


def _add_tokenizer(writer: Any, kind: str, listed: list[tuple[str, int, float]], flags: dict[str, Any]) -> None:
    words = [token for token, _, _ in listed]
    writer.add_tokenizer_model(kind)
    if kind == "bert":  # as the conversion writes it: a space in front of what begins a word
        words = [w if k != NORMAL else w[2:] if w.startswith("##") else f"▁{w}" for w, k, _ in listed]
        writer.add_bos_token_id(1)
        writer.add_sep_token_id(2)
        writer.add_token_type_count(2)
    else:
        writer.add_bos_token_id(words.index("<s>"))
        writer.add_eos_token_id(words.index("</s>"))
        writer.add_add_bos_token(True)
    if kind == "gpt2":
        writer.add_tokenizer_pre("llama-bpe")
        normal = [token for token, each, _ in listed if each == NORMAL]
        writer.add_token_merges([" ".join(pair) for pair in merges_of(normal)])
    else:
        writer.add_unk_token_id(0)
        writer.add_token_scores([score for _, _, score in listed])
    writer.add_token_list([word.encode() for word in words])
    writer.add_token_types([each for _, each, _ in listed])
    if "add_space_prefix" in flags:
        writer.add_add_space_prefix(flags["add_space_prefix"])
    if "remove_extra_whitespaces" in flags:
        writer.add_remove_extra_whitespaces(flags["remove_extra_whitespaces"])
    writer.add_chat_template(TEMPLATE)


def _weights(size: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)

    def random(*shape: int) -> np.ndarray:
        return (rng.normal(size=shape) * 0.2).astype(np.float32)

    return {
        "token_embd": random(size, _WIDTH), "output": random(size, _WIDTH), "output_norm": np.ones(_WIDTH, np.float32),
        **{f"blk.0.attn_{part}": random(_WIDTH, _WIDTH) for part in ("q", "k", "v", "output")},
        "blk.0.ffn_gate": random(_INNER, _WIDTH), "blk.0.ffn_up": random(_INNER, _WIDTH),
        "blk.0.ffn_down": random(_WIDTH, _INNER),
        **{f"blk.0.{part}_norm": np.ones(_WIDTH, np.float32) for part in ("attn", "ffn")},
    }  # fmt: skip
