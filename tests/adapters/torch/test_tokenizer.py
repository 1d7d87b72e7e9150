"""Transformers tokenizers as byte tokenizers: byte-level BPE and sentencepiece with byte fallback."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from decodekit.errors import ConfigError, ParameterError
from decodekit.testing import check_tokenizer
from decodekit_torch import TorchAdapter
from decodekit_torch.tokenizer import TransformersTokenizer

TEXT = ["the cat sat on the mat, the dog lay on the log", "naïve café 東京 🙂", "  def f(x):\n    return x\n"] * 5
SPECIAL = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]


def byte_level(normalizer: Any = None, *, add_prefix_space: bool = False, bos: bool = False) -> Any:
    """As GPT-2, Llama 3 and Qwen have it."""
    backend = Tokenizer(models.BPE())
    backend.normalizer = normalizer
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=340, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    backend.train_from_iterator(TEXT, trainer)
    if bos:
        backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>")


def sentencepiece(*, metaspace: bool = False, bytes_too: bool = True) -> Any:
    """As Llama 2 (a normalizer writes the spaces) and newer conversions (a pre-tokenizer does) have it."""
    words = ["<unk>", *SPECIAL, *([f"<0x{byte:02X}>" for byte in range(256)] if bytes_too else [])]
    words += ["▁", *"abcdefghijklmnopqrstuvwxyz", "th", "the", "▁the", "▁c", "at"]
    vocab = {word: i for i, word in enumerate(dict.fromkeys(words))}
    merges = [("t", "h"), ("th", "e"), ("▁", "the"), ("▁", "c"), ("a", "t")]
    backend = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=bytes_too))
    if metaspace:
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    else:
        backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", vocab["<s>"])])
    backend.add_special_tokens([AddedToken(word, special=True) for word in ["<unk>", *SPECIAL]])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


MAKERS = {
    "byte level": byte_level,
    "byte level, NFC": lambda: byte_level(normalizers.NFC()),
    "byte level, lower case": lambda: byte_level(normalizers.Lowercase()),
    "byte level, space in front": lambda: byte_level(add_prefix_space=True),
    "byte level, BOS": lambda: byte_level(bos=True),
    "sentencepiece": sentencepiece,
    "sentencepiece, metaspace": lambda: sentencepiece(metaspace=True),
}


@pytest.mark.parametrize("name", list(MAKERS))
def test_no_byte_is_lost_added_or_changed(name: str) -> None:
    tokenizer = TransformersTokenizer(MAKERS[name](), vocab_size=400)
    check_tokenizer(tokenizer, vocab_size=400)
    for text in ("the cat", " the cat", "café e\u0301 東京"):  # none of these may be refused
        assert tokenizer.decode(tokenizer.encode(text)) == text.encode()


@pytest.mark.parametrize("name", ["byte level", "sentencepiece", "sentencepiece, metaspace"])
def test_the_ids_of_a_text_are_those_of_transformers(name: str) -> None:
    theirs = MAKERS[name]()
    ours = TransformersTokenizer(theirs, vocab_size=400)
    for text in ("the cat sat", "a naïve 東京 🙂", "on  the mat"):
        expected = theirs(text, add_special_tokens=False)["input_ids"]
        # Sentencepiece writes a space in front of a text; ours writes what the text has.
        assert ours.encode(text if name == "byte level" else " " + text) == expected


def test_bytes_of_tokens() -> None:
    theirs = byte_level()
    ours = TransformersTokenizer(theirs, vocab_size=400)
    parts = [ours.token_bytes(i) for i in ours.encode("é the")]
    assert b"".join(part or b"" for part in parts) == "é the".encode()
    assert ours.token_bytes(theirs.convert_tokens_to_ids("Ġthe")) == b" the"
    assert ours.token_bytes(0) is None  # <s>
    assert ours.token_bytes(399) is None  # of the model's padding
    with pytest.raises(ParameterError, match="400"):
        ours.token_bytes(400)
    fallback = TransformersTokenizer(sentencepiece(), vocab_size=400)
    assert [fallback.token_bytes(i) for i in fallback.encode("é")] == [b"\xc3", b"\xa9"]


def test_bos_is_there_where_transformers_adds_it() -> None:
    assert TransformersTokenizer(byte_level(), vocab_size=400).bos_id is None
    assert TransformersTokenizer(byte_level(bos=True), vocab_size=400).bos_id == 0


def test_markup_is_plain_text_unless_special() -> None:
    ours = TransformersTokenizer(byte_level(), vocab_size=400)
    assert ours.encode("<|im_end|>", special=True) == [3]
    plain = ours.encode("<|im_end|>")
    assert len(plain) > 1 and ours.decode(plain) == b"<|im_end|>"


def test_messages_become_the_models_own_format() -> None:
    theirs = byte_level(bos=True)
    theirs.chat_template = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endfor %}"
    ours = TransformersTokenizer(theirs, vocab_size=400)
    ids = ours.encode_messages([{"role": "user", "content": "the <|im_end|>"}])
    assert ids[:2] == [0, 2] and ids[-1] == 3
    theirs.chat_template = "{{ bos_token }}{{ messages[0].content }}"
    ids = TransformersTokenizer(theirs, vocab_size=400).encode_messages([{"role": "user", "content": "the"}])
    assert ids.count(0) == 1
    with pytest.raises(ConfigError, match="no chat template"):
        TransformersTokenizer(byte_level(), vocab_size=400).encode_messages([{"role": "user", "content": "the"}])


def test_a_text_the_vocabulary_cannot_write_is_refused() -> None:
    ours = TransformersTokenizer(sentencepiece(), vocab_size=400)
    with pytest.raises(ParameterError, match="no token for '▁'"):
        ours.encode("a▁b")  # the sign that stands for a space
    with pytest.raises(ParameterError, match="character 2"):
        ours.encode("ab\ud800")


def test_a_family_without_bytes_is_refused() -> None:
    backend = Tokenizer(models.BPE({"a": 0, "b</w>": 1}, [], end_of_word_suffix="</w>"))
    backend.decoder = decoders.BPEDecoder()
    with pytest.raises(ConfigError, match="BPEDecoder"):
        TransformersTokenizer(transformers.PreTrainedTokenizerFast(tokenizer_object=backend), vocab_size=400)


def test_the_fingerprint_tells_vocabularies_apart() -> None:
    prints = {TransformersTokenizer(make(), vocab_size=400).fingerprint for make in (byte_level, sentencepiece)}
    assert len(prints) == 2
    assert TransformersTokenizer(byte_level(), vocab_size=400).fingerprint in prints


def test_a_tokenizer_of_another_model_is_refused() -> None:
    with pytest.raises(ConfigError, match="do not belong together"):
        TransformersTokenizer(byte_level(), vocab_size=100)
    with pytest.raises(ConfigError, match="do not belong together"):
        TorchAdapter(model=lambda ids: torch.eye(100)[ids], tokenizer=byte_level())


def test_the_tokenizer_beside_a_model_is_found_and_its_ends_are_those_of_the_generation_config(tmp_path: Any) -> None:
    from tests.adapters.torch.models import tiny

    model = tiny("Llama", vocab_size=400)
    model.generation_config.eos_token_id = [3, 1]
    model.save_pretrained(tmp_path)
    byte_level().save_pretrained(tmp_path)
    adapter = TorchAdapter(model=str(tmp_path))
    assert adapter.tokenizer is not None
    assert adapter.tokenizer.eos_ids == {1, 3}
    assert adapter.tokenizer.vocab_size == 400
    assert adapter.info.tokenizer_fingerprint == adapter.tokenizer.fingerprint
    assert TorchAdapter(model=str(tmp_path), tokenizer=None).tokenizer is None
