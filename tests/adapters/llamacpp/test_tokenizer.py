"""The tokenizer inside the model file, and its chat template."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("llama_cpp")

from decodekit.errors import ConfigError, ParameterError
from decodekit_llamacpp import LlamaCppAdapter
from decodekit_llamacpp.threads import physical_cores

pytestmark = pytest.mark.real_model


@pytest.fixture(scope="module")
def tokenizer() -> Iterator[Any]:
    adapter = LlamaCppAdapter(model="smollm2", n_ctx=16)
    yield adapter.tokenizer
    adapter.close()


@pytest.mark.parametrize(
    "text", ["", " ", "Hello", " leading", "two  spaces\n\n", "é中😀", "a\0b", "\t\r\n", "x" * 5000]
)
def test_bytes_survive_the_round_trip(tokenizer: Any, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text.encode()


def test_a_byte_that_no_token_has_is_refused(tokenizer: Any) -> None:
    for ask in (tokenizer.encode, lambda text: tokenizer.encode_messages([{"role": "user", "content": text}])):
        with pytest.raises(ParameterError, match=r"no token for '\\x04' in the text"):
            ask("a\x04b")  # llama.cpp leaves it out


def test_markup_is_plain_text_unless_special(tokenizer: Any) -> None:
    assert tokenizer.encode("<|im_end|>", special=True) == [2]
    plain = tokenizer.encode("<|im_end|>")
    assert len(plain) > 1
    assert tokenizer.decode(plain) == b"<|im_end|>"


def test_no_bos_is_added_and_none_is_wanted(tokenizer: Any) -> None:
    assert tokenizer.bos_id is None
    assert tokenizer.encode("Hello") == [19556]


def test_control_tokens_have_no_bytes(tokenizer: Any) -> None:
    assert tokenizer.token_bytes(2) is None
    assert tokenizer.decode([2, 19556, 0]) == b"Hello"


def test_the_bytes_of_a_text_are_those_of_its_tokens(tokenizer: Any) -> None:
    ids = tokenizer.encode("naïve 😀")
    assert b"".join(tokenizer.token_bytes(token) for token in ids) == "naïve 😀".encode()
    assert any(tokenizer.token_bytes(token) not in (b" ", "😀".encode()) for token in ids)  # half characters


def test_all_tokens_that_end_a_turn_end_a_generation(tokenizer: Any) -> None:
    assert {0, 2} <= tokenizer.eos_ids
    assert 1 not in tokenizer.eos_ids


@pytest.mark.parametrize("token", [-1, 49152])
def test_an_id_outside_the_vocabulary_is_refused(tokenizer: Any, token: int) -> None:
    with pytest.raises(ParameterError, match=str(token)):
        tokenizer.token_bytes(token)


def test_half_a_surrogate_pair_is_refused_where_it_stands(tokenizer: Any) -> None:
    with pytest.raises(ParameterError, match="character 2"):
        tokenizer.encode("ab\ud800")


def test_messages_become_the_models_own_format(tokenizer: Any) -> None:
    ids = tokenizer.encode_messages([{"role": "user", "content": "Hi"}])
    assert ids[0] == 1
    assert tokenizer.decode(ids).endswith(b"user\nHi\nassistant\n")
    with pytest.raises(ParameterError, match="role"):
        tokenizer.encode_messages([{"content": "Hi"}])


def test_a_template_that_writes_bos_itself_does_not_get_it_twice(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizer, "bos_id", 1)
    message = [{"role": "user", "content": "Hi"}]
    for template in ("{{ bos_token }}{{ messages[0].content }}", "{{ messages[0].content }}"):
        monkeypatch.setattr(tokenizer, "chat_template", template)
        assert tokenizer.encode_messages(message)[:2] == [1, *tokenizer.encode("Hi")][:2]


def test_a_model_without_a_template_says_so(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer, "chat_template", None)
    with pytest.raises(ConfigError, match="no chat template"):
        tokenizer.encode_messages([{"role": "user", "content": "Hi"}])


def test_there_is_at_least_one_core_and_no_more_than_the_process_may_use() -> None:
    assert 1 <= physical_cores() <= (os.cpu_count() or 1)
