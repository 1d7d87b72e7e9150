"""Every family of tokenizers keeps one law, in every adapter, as a file and as a folder."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("llama_cpp")
pytest.importorskip("gguf")
pytest.importorskip("transformers")

import llama_cpp
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

import decodekit
from decodekit.errors import ParameterError
from decodekit.testing import check_tokenizer
from decodekit.text.base import prompt_ids
from decodekit.text.huggingface import FastTokenizer, read_tokenizer
from decodekit_llamacpp import LlamaCppAdapter
from decodekit_torch import TorchAdapter
from decodekit_torch.tokenizer import TransformersTokenizer
from tests.families import FOLDERS, GGUFS, folder, gguf_file, settings_of

TALKS = [
    [{"role": "user", "content": "hi"}],
    [
        {"role": "user", "content": " the cat "},
        {"role": "assistant", "content": "sat\non"},
        {"role": "user", "content": "x"},
    ],
    [{"role": "user", "content": "Hello  x<think>the</think> [INST]"}] * 3,
]
BOTH = [name for name in GGUFS if name != "word pieces.gguf"]  # transformers reads no such file
EXACT = [name for name in FOLDERS if name != "word pieces"]


@pytest.fixture(scope="module")
def in_llama_cpp() -> Any:
    adapters: dict[str, LlamaCppAdapter] = {}

    def get(name: str) -> Any:
        if name not in adapters:
            adapters[name] = LlamaCppAdapter(model=str(gguf_file(name)), n_ctx=64, n_threads=1)
        return adapters[name]

    yield get
    for adapter in adapters.values():
        adapter.close()


@pytest.mark.parametrize("name", list(GGUFS))
def test_a_file_keeps_the_law(in_llama_cpp: Any, name: str) -> None:
    check_tokenizer(in_llama_cpp(name).tokenizer)


@pytest.mark.parametrize("name", BOTH)
def test_one_file_has_the_same_ids_ends_and_conversations_in_both_adapters(in_llama_cpp: Any, name: str) -> None:
    other = TorchAdapter(model=str(gguf_file(name)), dtype="float32").tokenizer
    assert other is not None
    check_tokenizer(other, in_llama_cpp(name).tokenizer, texts=["<0x41>", "a<think>b", "<think>hi", "<unk>"])


@pytest.mark.parametrize("name", [name for name in BOTH if "unigram" in name])
def test_what_a_unigram_file_does_not_know_is_the_same_in_both_adapters(in_llama_cpp: Any, name: str) -> None:
    other = TorchAdapter(model=str(gguf_file(name)), dtype="float32").tokenizer
    assert other is not None
    both = (in_llama_cpp(name).tokenizer, other)
    for content in ("\x07", "hi 日本", "<0x41>", "a\ue000b", "日<|im_end|>"):
        one, two = (each.encode_messages([{"role": "user", "content": content}]) for each in both)
        assert one == two
        assert (0 in one) == (content != "<0x41>")


@pytest.mark.parametrize("name", list(FOLDERS))
def test_a_folder_keeps_the_law_and_has_the_conversations_of_transformers(name: str) -> None:
    theirs = transformers.AutoTokenizer.from_pretrained(folder(name))
    ours = read_tokenizer(folder(name))
    check_tokenizer(TransformersTokenizer(theirs, vocab_size=ours.vocab_size), ours)
    for talk in TALKS:
        assert ours.encode_messages(talk) == theirs.apply_chat_template(talk, tokenize=True, return_dict=False)


@pytest.mark.parametrize("name", EXACT)
def test_the_texts_that_a_vocabulary_can_write_are_not_refused(name: str) -> None:
    ours = read_tokenizer(folder(name))
    assert ours.loses == ""
    for text in (
        "the cat",
        " the  cat ",
        "x<think>hi</think> y",
        "x <think> hi",
        "\n",
        "é 東京",
        "<|im_end|>",
        "hi</s> x",
    ):
        assert ours.decode(ours.encode(text)) == text.encode()


def test_markup_is_spelled_where_letters_have_nothing_but_bytes(tmp_path: Any) -> None:
    scores = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), *((f"<0x{byte:02X}>", -20.0) for byte in range(256))]
    backend = Tokenizer(models.Unigram([*scores, ("\u2581", -5.0), ("hi", -5.0)], unk_id=0, byte_fallback=True))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    backend.decoder = decoders.ByteFallback()
    backend.add_special_tokens(["<unk>", "<s>", "</s>"])
    ours = FastTokenizer(backend, chat_template="<s>{{ messages[0].content }}")
    for text in ("<s>", "hi </s>", "<unk>hi"):
        assert ours.decode(ours.encode(text)) == text.encode()
        assert ours.encode_messages([{"role": "user", "content": text}]) == [1, *ours.encode(text)]
    assert ours.encode("hi</s>", special=True) == [260, 2]


@pytest.mark.parametrize("name", list(FOLDERS))
def test_a_prompt_begins_as_in_transformers(name: str) -> None:
    theirs = transformers.AutoTokenizer.from_pretrained(folder(name))
    for text in ("hi the", " hi", "sat", "<think>hi", "a<think>the</think>b"):
        assert prompt_ids(read_tokenizer(folder(name)), text) == theirs(text)["input_ids"]


@pytest.mark.parametrize("name", [name for name in BOTH if "merges" not in name])  # where a prompt keeps its spaces
def test_a_prompt_begins_as_in_llama_cpp(in_llama_cpp: Any, name: str) -> None:
    theirs = llama_cpp.Llama(str(gguf_file(name)), vocab_only=True, verbose=False)
    for text in ("hi the", " hi", "sat", "<think>hi", "a<think>the</think>b", "<think> hi", "a </think>"):
        ours = prompt_ids(in_llama_cpp(name).tokenizer, text)
        own = theirs.tokenize(text.encode(), add_bos=False, special=False)
        assert ours == [theirs.token_bos(), *own]


def test_a_file_may_be_named_for_a_model_behind_a_server(in_llama_cpp: Any) -> None:
    folders = {"legacy.gguf": "legacy", "never.gguf": "never", "tiktoken.gguf": "tiktoken"}
    for name, like in folders.items():
        in_file, in_folder = in_llama_cpp(name).tokenizer, read_tokenizer(folder(like))
        for talk in TALKS:
            assert in_file.encode_messages(talk) == in_folder.encode_messages(talk)


def test_a_letter_without_a_token_is_refused_and_does_not_end_the_process() -> None:
    program = (
        "from decodekit_llamacpp import LlamaCppAdapter\n"
        "import decodekit, sys\n"
        "it = LlamaCppAdapter(model=sys.argv[1], n_ctx=64, n_threads=1).tokenizer\n"
        "for ask in (it.encode, lambda t: it.encode(t, special=True),\n"
        "            lambda t: it.encode_messages([{'role': 'user', 'content': t}])):\n"
        "    try:\n"
        "        ask('x🙂<|im_end|>')\n"
        "    except decodekit.ParameterError as error:\n"
        "        print(ascii(str(error)))\n"
    )
    asked = subprocess.run(
        [sys.executable, "-c", program, str(gguf_file("no bytes.gguf"))], capture_output=True, text=True, check=True
    )
    assert asked.stdout.count(r"no token for '\U0001f642'") == 3


def test_what_a_vocabulary_loses_is_said(in_llama_cpp: Any, caplog: pytest.LogCaptureFixture) -> None:
    words = read_tokenizer(folder("word pieces"))
    assert "capital letters" in words.loses and "does not keep texts" in caplog.text
    assert in_llama_cpp("word pieces.gguf").tokenizer.loses
    for ours in (words, in_llama_cpp("word pieces.gguf").tokenizer):
        assert ours.decode(ours.encode("Hello  the cat")) == b" hello the cat"
        with pytest.raises(ParameterError, match=r"no token for '東', '京'"):
            ours.encode("東京")
    assert read_tokenizer(folder("tiktoken, NFC")).left_out == ("NFC",)


# -- ends --------------------------------------------------------------------------------------------------------------

NAMED = {"eos_token": "<|im_end|>"}


@pytest.mark.parametrize(
    ("files", "ends"),
    [
        ({"generation_config": {"eos_token_id": 1}, "tokenizer_config": NAMED}, {1, 2}),
        ({"generation_config": {"eos_token_id": [1, 2]}}, {1, 2}),
        ({"config": {"eos_token_id": [1, 2]}}, {1, 2}),
        ({"config": {"eos_token_id": 2}}, {2}),
        ({"config": {"text_config": {"eos_token_id": 2}}}, {2}),
        ({"special_tokens_map": NAMED}, {2}),
        ({"special_tokens_map": {"eos_token": {"content": "<|im_end|>"}}}, {2}),
        ({"config": {"eos_token_id": 10**9}}, set()),
        ({}, set()),
    ],
)
def test_an_end_is_found_in_whatever_file_names_it(
    tmp_path: Any, files: dict[str, Any], ends: set[int], caplog: pytest.LogCaptureFixture
) -> None:
    FOLDERS["tiktoken"]().save(str(tmp_path / "tokenizer.json"))
    settings_of(tmp_path, **files)
    assert read_tokenizer(tmp_path).eos_ids == ends
    assert caplog.text.count("names an end-of-text token") == (not ends)


def test_the_ends_of_a_file_are_those_of_llama_cpp(in_llama_cpp: Any) -> None:
    assert in_llama_cpp("legacy.gguf").tokenizer.eos_ids == {2, 3}  # </s>, and <|im_end|> by its name
    assert TorchAdapter(model=str(gguf_file("legacy.gguf")), dtype="float32").tokenizer.eos_ids == {2, 3}


def test_the_same_text_is_the_same_prompt_in_both_adapters(in_llama_cpp: Any) -> None:
    for name in BOTH:
        torch = TorchAdapter(model=str(gguf_file(name)), dtype="float32")
        prompts = {
            tuple(decodekit.Session(each, seed=1).generate("hi the", max_tokens=1).trace.header.prompts[0])
            for each in (torch, in_llama_cpp(name))
        }
        assert len(prompts) == 1
