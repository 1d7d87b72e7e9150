"""What ``tokenizer=`` may name: a folder, a tokenizer.json, a GGUF file, an object."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx")
pytest.importorskip("tokenizers")

import decodekit
from decodekit import Prefix
from decodekit.errors import ConfigError, ModelNotFound
from decodekit.testing import BytesTokenizer, PiecesTokenizer, check_tokenizer
from decodekit.text.base import prompt_ids
from decodekit.text.huggingface import read_tokenizer
from decodekit_remote import RemoteAdapter
from decodekit_remote.vocabulary import KnownVocabulary
from tests.adapters.llamacpp.bare_loop import MODEL, model_path
from tests.adapters.remote.recorded import playing
from tests.adapters.remote.servers import serving

TEXTS = [
    "The capital of France is",
    " naïve café 東京 🙂",
    "  def f(x):\n\treturn x\n",
    "<|im_start|>user\nhi<|im_end|>",
    "",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2's tokenizer as transformers writes it."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("gguf")
    where = tmp_path_factory.mktemp("smollm2")
    file = Path(model_path())
    transformers.AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name).save_pretrained(where)
    return where


@pytest.fixture(scope="module")
def of_the_model() -> Any:
    pytest.importorskip("llama_cpp")
    adapter = decodekit.adapter("llamacpp", model=MODEL, n_ctx=64, n_threads=1)
    yield adapter.tokenizer
    adapter.close()


def test_a_folder_has_the_ids_and_bytes_of_the_model_file(folder: Path, of_the_model: Any) -> None:
    for path in (folder, folder / "tokenizer.json"):
        tokenizer = read_tokenizer(path)
        assert tokenizer.vocab_size == of_the_model.vocab_size and tokenizer.bos_id == of_the_model.bos_id
        ids = range(tokenizer.vocab_size)
        assert [*map(tokenizer.token_bytes, ids)] == [*map(of_the_model.token_bytes, ids)]
        for text in TEXTS:
            for special in (False, True):
                assert tokenizer.encode(text, special=special) == of_the_model.encode(text, special=special)
        talk = [{"role": "user", "content": "Say hi"}]
        assert tokenizer.encode_messages(talk) == of_the_model.encode_messages(talk)
        assert tokenizer.eos_ids <= of_the_model.eos_ids and tokenizer.eos_ids
    check_tokenizer(tokenizer, vocab_size=of_the_model.vocab_size)


def test_texts_name_the_same_tokens_by_folder_and_by_model_file(folder: Path, of_the_model: Any) -> None:
    def shown(tokenizer: Any) -> dict[int, float]:
        adapter = RemoteAdapter(
            base_url="http://host",
            dialect="llama_cpp_python",
            probe=False,
            tokenizer=tokenizer,
            retokenised="allow",  # there is no recording of its tokenizer
            transport=playing("llama_cpp_python", "completions_logprobs5"),
        )

        async def asked() -> Any:
            (answer,) = await adapter.apredict([Prefix(of_the_model.encode("The capital of France is"))])
            await adapter.aclose()
            return answer

        answer = asyncio.run(asked())
        return dict(zip(answer.token_ids.tolist(), answer.logprobs.tolist(), strict=True))

    by_folder = shown(str(folder))
    assert len(by_folder) >= 5 and by_folder == shown(str(folder / "tokenizer.json")) == shown(MODEL)


def test_the_names_of_control_tokens_are_theirs(folder: Path) -> None:
    known = KnownVocabulary(read_tokenizer(folder), "replace")
    assert known.identify(["<|im_end|>", b"<|im_end|>", 2, "<|im", " the", "no token at all"])[:3] == [2, 2, 2]
    assert known.identify(["<|im", "no token at all", "", "\ufffd"]) == [None] * 4


def test_bos_and_ends_stand_in_the_settings_beside_it(folder: Path, tmp_path: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / name, tmp_path)
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [0, 2]}))
    (tmp_path / "config.json").write_text(json.dumps({"vocab_size": 50_000}))
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    settings |= {"add_bos_token": True, "chat_template": [{"name": "default", "template": "{{ bos_token }}hi"}]}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    tokenizer = read_tokenizer(tmp_path)
    assert (tokenizer.bos_id, tokenizer.eos_ids, tokenizer.vocab_size) == (1, frozenset({0, 2}), 50_000)
    assert tokenizer.encode_messages([{"role": "user", "content": "x"}]) == [1, *tokenizer.encode("hi")]
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(ConfigError, match=r"tokenizer_config\.json' cannot be read"):
        read_tokenizer(tmp_path)


def test_what_is_no_tokenizer_is_a_typed_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def named(tokenizer: Any) -> Any:
        made = RemoteAdapter(base_url="http://host", dialect="vllm", probe=False, tokenizer=tokenizer)  # reads no file
        return asyncio.run(made.connect())

    with pytest.raises(ConfigError, match="there is no tokenizer at"):
        named(str(tmp_path))
    (tmp_path / "tokenizer.json").write_text('{"model": 1}')
    with pytest.raises(ConfigError, match="is not a tokenizer"):
        named(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ModelNotFound, match="does not exist"):
        named(str(tmp_path / "nothing.gguf"))
    monkeypatch.delitem(sys.modules, "decodekit.text.huggingface", raising=False)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ConfigError, match="pip install tokenizers"):
        named(str(tmp_path))


def test_a_tokenizer_of_another_vocabulary_is_refused(folder: Path) -> None:
    with serving() as server:  # 257 tokens
        for tokenizer in (str(folder), MODEL, PiecesTokenizer([bytes([i, i]) for i in range(256)] * 2)):
            with pytest.raises(ConfigError, match="do not belong together"):
                asyncio.run(RemoteAdapter(base_url=server.url, tokenizer=tokenizer).connect())
        assert RemoteAdapter(base_url=server.url, tokenizer=BytesTokenizer()).info.vocab_size == 257


def test_a_prompt_goes_without_the_bos_and_the_space_that_a_text_server_writes_itself() -> None:
    tokenizer = PiecesTokenizer([None, b" ", b"h", b"i"], bos_id=0)
    tokenizer.space_in_front = "always"
    known = KnownVocabulary(tokenizer, "replace")
    for text in ("hi", " hi"):
        assert known.prompt_of(Prefix(prompt_ids(tokenizer, text))) == text
    assert KnownVocabulary(PiecesTokenizer([None, b" ", b"h"]), "replace").prompt_of(Prefix([1, 2])) == " h"
