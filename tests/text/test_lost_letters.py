"""No letter is lost in silence: what a vocabulary cannot write is refused by name, or said to be 'unknown'."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("llama_cpp")
pytest.importorskip("gguf")
pytest.importorskip("transformers")

import llama_cpp
import transformers
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

import decodekit
from decodekit.errors import DecodekitError, ParameterError
from decodekit.text.base import prompt_ids
from decodekit.text.huggingface import FastTokenizer, read_tokenizer
from decodekit_llamacpp.gguf_tokenizer import read_vocabulary
from decodekit_torch import TorchAdapter
from tests.families import FOLDERS, GGUFS, folder, gguf_file

FILES = [name for name in GGUFS if name != "word pieces.gguf"]  # transformers reads no such file
DROPPING = [
    ("no bytes.gguf", "日"),
    ("not all bytes.gguf", "🙂"),
    ("tiktoken, not all bytes.gguf", "~"),
    ("tiktoken, not all bytes.gguf", "\t"),
]
UNKNOWN = {
    "unigram that merges spaces.gguf": "日",
    "unigram.gguf": "日",
    "unigram with bytes.gguf": "日",
    "unigram, padded.gguf": "日",
}
_read: dict[str, tuple[Any, Any]] = {}


@pytest.fixture(autouse=True, scope="module")
def _close_them() -> Iterator[None]:
    yield
    for one, _ in _read.values():
        if hasattr(one, "close"):
            one.close()
    _read.clear()


def both(name: str) -> tuple[Any, Any]:
    """The tokenizer of one file in llama.cpp and on torch."""
    if name not in _read:
        path = str(gguf_file(name))
        _read[name] = read_vocabulary(path), TorchAdapter(model=path, dtype="float32").tokenizer
    return _read[name]


def user(content: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": content}]


def answer(ask: Any) -> list[int] | str:
    """The ids, or that it is refused."""
    try:
        return ask()
    except DecodekitError:
        return "refused"


# -- one file, two adapters --------------------------------------------------------------------------------------------

PARTS = st.sampled_from(
    [" ", "  ", "   ", "\n", "hi", "the cat", "x", "é", "東", "日", "🙂", "~", "\x04", "▁", "<unk>", "<s>", "</s>",
     "<|im_end|>", "<think>", "</think>", "[PAD0]", "[PAD1] ", "[PAD", "qz", "<0x41>", "[INST]"]
)  # fmt: skip
TEXTS = st.lists(PARTS | st.text(max_size=3), max_size=6).map("".join)


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=60)
@given(text=TEXTS)
@example(text=" ")
@example(text="   ")
@example(text="  <think>  <think>  ")
@example(text="[PAD0]")
@example(text="a~b")
@example(text="a\x04b 日")
@example(text="a\tb")
@example(text="</s>hi日")
def test_a_text_has_equal_ids_in_both_adapters_and_loses_nothing(name: str, text: str) -> None:
    one, other = both(name)
    asked = {
        "encode": lambda it: it.encode(text),
        "encode with markup": lambda it: it.encode(text, special=True),
        "the prompt": lambda it: prompt_ids(it, text),
        "the prompt with markup": lambda it: it.encode_prompt(text, special=True),
        "the conversation": lambda it: it.encode_messages(user(text)),
    }
    for what, ask in asked.items():
        ours, theirs = answer(lambda: ask(one)), answer(lambda: ask(other))  # noqa: B023 - called at once
        assert ours == theirs, what
        if what == "encode" and ours != "refused":
            assert one.decode(ours) == text.encode() == other.decode(ours)


@pytest.mark.parametrize("name", [name for name in FILES if "merges" not in name])  # where a prompt keeps its spaces
def test_a_prompt_of_spaces_is_llama_cpps_own(name: str) -> None:
    theirs = llama_cpp.Llama(str(gguf_file(name)), vocab_only=True, verbose=False)
    for text in (" ", "  ", "   ", " <think> ", "  <think>  <think>", "  hi  "):
        own = theirs.tokenize(text.encode(), add_bos=False, special=False)
        for ours in both(name):
            assert prompt_ids(ours, text) == [theirs.token_bos(), *own]


@pytest.mark.parametrize(("name", "letter"), DROPPING)
def test_a_letter_that_a_file_cannot_write_is_refused_by_name(name: str, letter: str) -> None:
    for ours in both(name):
        for ask in (
            lambda: ours.encode(f"hi{letter}x"),  # noqa: B023 - called at once
            lambda: ours.encode(f"hi{letter}x", special=True),  # noqa: B023
            lambda: prompt_ids(ours, f"hi{letter}x"),  # noqa: B023
            lambda: ours.encode_messages(user(f"hi{letter}x")),  # noqa: B023
            lambda: ours.encode(f"<s>hi{letter}x", special=True),  # noqa: B023 - whose '<' no text has
        ):
            with pytest.raises(ParameterError, match=f"no token for {re.escape(repr(letter))} in the text.*leave it"):
                ask()
        with pytest.raises(ParameterError, match=f"no token for .*{re.escape(repr(letter))} in the text"):
            ours.encode_messages(user(f"<|im_end|>{letter}"))


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_letter_that_is_unknown_in_a_conversation_is_said(name: str, caplog: pytest.LogCaptureFixture) -> None:
    for ours in both(name):
        caplog.clear()
        assert 0 in ours.encode_messages(user("hi日x"))
        (record,) = caplog.records
        assert "the model sees 'unknown'" in record.message and record.letters == "'日'"
        caplog.clear()
        ours.encode_messages(user("hi"))
        assert not caplog.records
        assert 0 in ours.encode_messages(user("</s>hi日x"))  # markup that is plain text changes nothing
        assert [record.letters for record in caplog.records] == ["'日'"]


@pytest.mark.parametrize("name", ["unigram, padded.gguf", "legacy, padded.gguf"])
def test_the_name_of_an_unused_token_is_refused(name: str) -> None:
    for ours in both(name):
        for text in ("qz", "the qz"):
            for ask in (ours.encode, ours.encode_prompt, lambda content: ours.encode_messages(user(content))):  # noqa: B023
                with pytest.raises(ParameterError, match="as 'qz', an unused token"):
                    ask(text)


# -- folders -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(FOLDERS))
@settings(max_examples=40)
@given(text=TEXTS)
@example(text="a~b")
@example(text="a\x04b")
@example(text="日")
def test_a_folder_loses_no_letter_and_has_the_conversations_of_transformers(name: str, text: str) -> None:
    ours = folder_tokenizer(name)
    ids = answer(lambda: ours.encode(text))
    if ids != "refused" and not ours.loses:
        assert ours.decode(ids) == text.encode()
    if any(markup in text for markup in ours.control_tokens):
        return  # plain text here, control tokens there
    ids = answer(lambda: ours.encode_messages(user(text)))
    if ids != "refused":
        assert ids == theirs(name).apply_chat_template(user(text), tokenize=True, return_dict=False)


def folder_tokenizer(name: str) -> Any:
    if name not in _read:
        _read[name] = read_tokenizer(folder(name)), transformers.AutoTokenizer.from_pretrained(folder(name))
    return _read[name][0]


def theirs(name: str) -> Any:
    folder_tokenizer(name)
    return _read[name][1]


@pytest.mark.parametrize("name", ["no bytes", "unigram", "word pieces"])
def test_unknown_in_a_folders_conversation_is_transformers_own_and_is_said(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    ours = folder_tokenizer(name)
    caplog.clear()
    assert ours.encode_messages(user("x 日")) == theirs(name).apply_chat_template(
        user("x 日"), tokenize=True, return_dict=False
    )
    assert [record.letters for record in caplog.records] == ["'日'"]
    with pytest.raises(ParameterError, match="no token for '日'"):
        prompt_ids(ours, "x 日")


def test_markup_in_a_message_does_not_turn_unknown_letters_into_an_error(caplog: pytest.LogCaptureFixture) -> None:
    ours = folder_tokenizer("no bytes")
    caplog.clear()
    ids = ours.encode_messages(user("<s>hi 日"))
    assert ids.count(ours.control_tokens["<unk>"]) == 1 and b"<s>hi" in ours.decode(ids)
    assert [record.letters for record in caplog.records] == ["'日'"]


def test_only_missing_letters_are_blamed_where_others_are_tokens_inside_words(caplog: pytest.LogCaptureFixture) -> None:
    backend = Tokenizer(models.WordPiece({"[UNK]": 0, "hi": 1, "h": 2, "##i": 3}, unk_token="[UNK]"))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
    ours = FastTokenizer(backend, chat_template="{{ messages[0].content }}")
    caplog.clear()
    for text in ("hi é hi", "hié"):
        with pytest.raises(ParameterError, match="no token for 'é' in the text"):
            ours.encode(text)
        ours.encode_messages(user(text))
    assert [record.letters for record in caplog.records] == ["'é'", "'é'"]


def test_a_unigram_model_that_falls_back_to_bytes_has_them_under_any_decoder() -> None:
    scores = [("<unk>", 0.0), *((f"<0x{byte:02X}>", -20.0) for byte in range(256)), ("▁", -1.0), ("hi", -1.0)]
    backend = Tokenizer(models.Unigram(scores, unk_id=0, byte_fallback=True))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    ours = FastTokenizer(backend, chat_template="{{ messages[0].content }}")
    for text in ("hi\n", "é 日"):
        assert ours.decode(ours.encode(text)) == text.encode()
        assert ours.decode(ours.encode_messages(user(text))) == b" " + text.encode()


def test_a_letter_that_a_folders_tokenizer_drops_is_refused() -> None:
    ours = folder_tokenizer("tiktoken, not all bytes")
    for letter in ("~", "\t", "\U0010fffd"):
        dropped = theirs("tiktoken, not all bytes").apply_chat_template(
            user(f"hi{letter}x"), tokenize=True, return_dict=False
        )
        assert letter.encode() not in ours.decode(dropped)
        with pytest.raises(ParameterError, match=r"no token for '.*' in the text"):
            ours.encode_messages(user(f"hi{letter}x"))


@pytest.mark.parametrize(
    ("model", "pre_tokenizer"),
    [
        (models.Unigram([("▁", -1.0), ("h", -1.0)], unk_id=None), pre_tokenizers.Metaspace()),
        (models.BPE({"▁": 0, "h": 1}, []), pre_tokenizers.Metaspace()),
        (models.BPE({"▁": 0, "h": 1}, [], unk_token="<none>"), pre_tokenizers.Metaspace()),
    ],
)
def test_a_vocabulary_without_unknown_refuses_what_it_does_not_know(model: Any, pre_tokenizer: Any) -> None:
    backend = Tokenizer(model)
    backend.pre_tokenizer, backend.decoder = pre_tokenizer, decoders.Metaspace()
    ours = FastTokenizer(backend, chat_template="{{ messages[0].content }}")
    assert ours.decode(ours.encode_messages(user("h h"))) == b" h h"
    for ask in (ours.encode, ours.encode_prompt, lambda text: ours.encode_messages(user(text))):
        with pytest.raises(ParameterError, match="no token for 'x', 'y' in the text"):
            ask("hxyh")


# -- where texts are given ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["llamacpp", "torch"])
def test_texts_that_cannot_be_written_are_refused_in_prompts_and_never_match_elsewhere(kind: str) -> None:
    settings = {"n_ctx": 64, "n_threads": 1} if kind == "llamacpp" else {"dtype": "float32"}
    adapter = decodekit.adapter(kind, model=str(gguf_file("no bytes.gguf")), **settings)
    session = decodekit.Session(adapter, seed=1)
    for prompt in ("hi日", user("hi日")):
        with pytest.raises(ParameterError, match="no token for '日'"):
            session.generate(prompt, max_tokens=1)
    plain = session.generate("hi", max_tokens=4).token_ids
    assert session.generate("hi", max_tokens=4, stop=["日", "i日"]).token_ids == plain
    assert session.generate("hi", max_tokens=4, ban=["日"]).token_ids == plain
    banned = decodekit.Chain([decodekit.processor("bad_words", bad_words=["日"])])
    assert decodekit.Session(adapter, banned, seed=1).generate("hi", max_tokens=4).token_ids == plain
