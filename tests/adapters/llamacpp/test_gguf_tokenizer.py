"""The tokenizer of a model file without the model, by its name in the group of tokenizers."""

from __future__ import annotations

import pytest

pytest.importorskip("llama_cpp")

import decodekit
from decodekit.errors import AdapterError, ModelNotFound
from decodekit.plugin.registry import define_group
from decodekit.testing import check_tokenizer
from tests.adapters.llamacpp.bare_loop import MODEL

pytestmark = pytest.mark.real_model


def test_it_is_the_models_own_tokenizer_and_is_closed_by_whoever_asked_for_it() -> None:
    read, info = define_group("tokenizers", "tokenizer").load("gguf")
    assert (info.distribution, info.group) == ("decodekit", "tokenizers")
    alone = read(MODEL, None)
    adapter = decodekit.adapter("llamacpp", model=MODEL, n_ctx=64, n_threads=1)
    try:
        check_tokenizer(alone, adapter.tokenizer)
        assert alone.fingerprint == adapter.tokenizer.fingerprint
        talk = [{"role": "user", "content": "hi"}]
        assert alone.encode_messages(talk) == adapter.tokenizer.encode_messages(talk)
    finally:
        adapter.close()
    alone.close()
    alone.close()
    with pytest.raises(AdapterError, match="closed"):
        alone.encode("hi")
    with pytest.raises(ModelNotFound):
        read("no such model", None)
