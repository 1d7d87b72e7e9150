"""The head of a GGUF file: what transformers does not read of a tokenizer."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("gguf")

import gguf

from decodekit.errors import ModelNotFound
from decodekit_torch.gguf_file import GgufFile


def head(path: Path, model: str, **settings: object) -> Path:
    """A file with a head and no tensors."""
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_tokenizer_model(model)
    writer.add_token_list([b"<s>", b"</s>", b"<|im_end|>", "é".encode(), b"[PAD0]", b"<end_of_turn>"])
    writer.add_token_types([3, 3, 3, 1, 5, 1])
    writer.add_context_length(16)
    writer.add_float32("general.some", 0.5)
    for name, value in settings.items():
        getattr(writer, f"add_{name}")(value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def test_ends_are_those_that_are_named_and_control_tokens_that_end_by_their_name(tmp_path: Path) -> None:
    named = GgufFile(head(tmp_path / "a", "gpt2", eos_token_id=0, eot_token_id=3, eom_token_id=4))
    assert sorted(named.eos_ids) == [0, 1, 2, 3, 4]  # not 5: it has the name of an end, and is text
    assert sorted(GgufFile(head(tmp_path / "b", "gpt2")).eos_ids) == [1, 2]


def test_defaults_are_llama_cpps(tmp_path: Path) -> None:
    pieces = GgufFile(head(tmp_path / "a", "llama", bos_token_id=0))
    assert (pieces.family, len(pieces.tokens), pieces.unused) == ("llama", 6, {4})
    assert pieces.prepends_space and pieces.bos_id == 0 and not pieces.words_first
    exact = GgufFile(head(tmp_path / "b", "llama", add_space_prefix=False, add_bos_token=False, bos_token_id=0))
    assert not exact.prepends_space and exact.bos_id is None
    words = GgufFile(head(tmp_path / "c", "gpt2", tokenizer_pre="llama-bpe", bos_token_id=0))
    assert words.words_first and words.bos_id == 0 and not words.prepends_space
    assert GgufFile(head(tmp_path / "d", "gpt2", tokenizer_pre="qwen2", bos_token_id=0)).bos_id is None


def test_a_torn_head_is_a_typed_error(tmp_path: Path) -> None:
    whole = head(tmp_path / "whole", "llama").read_bytes()
    last = whole.index(b"general.some") + len(b"general.some") + 4 + 4  # its kind and its value
    for damaged in (
        *(whole[:size] for size in range(0, last, 7)),
        whole[:12] + b"\xff" * 8 + whole[20:],
        b"PK" + whole,
    ):
        (tmp_path / "torn").write_bytes(damaged)
        with pytest.raises(ModelNotFound, match="cannot be read"):
            GgufFile(tmp_path / "torn")
    with pytest.raises(ModelNotFound):
        GgufFile(tmp_path / "none")
