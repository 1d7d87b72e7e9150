"""The tokens of a continuation are those that the model sees after the prompt, in every family of tokenizers."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from decodekit import Prefix
from decodekit.session.continuation import tokens_of
from decodekit.session.prompts import as_prefix
from decodekit.testing import TableAdapter
from decodekit.text.base import prompt_ids
from decodekit.text.huggingface import read_tokenizer
from tests.families import FOLDERS, folder

FAMILIES = [name for name in FOLDERS if name != "word pieces"]  # it keeps neither spaces nor capitals
PAIRS = [
    ("the cat", " sat on"),
    ("the", " cat"),
    ("the ", "cat"),  # the space and the word are one token: no boundary
    ("the c", "at"),  # inside a token
    ("hello", " "),
    (" ", "hi"),
    ("x", "<think>hi"),
    ("x<think>", "hi"),
    ("x<think>", " hi"),
    ("", "hello"),
    ("", " hello"),
    ("a\n", "\nb"),
    ("hi", "</s>"),
]


def adapter_of(name: str) -> Any:
    tokenizer = read_tokenizer(folder(name))
    return TableAdapter({(): [0.0] * tokenizer.vocab_size}, tokenizer.vocab_size, tokenizer=tokenizer)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_text_is_tokenised_with_its_prompt_where_a_token_ends_between_them(name: str) -> None:
    adapter = adapter_of(name)
    tokenizer = adapter.tokenizer
    seen = set()
    for prompt, text in PAIRS:
        prefix = as_prefix(adapter, prompt)
        whole, start = prompt_ids(tokenizer, prompt + text), list(prefix.token_ids)
        ids, tokenised, size = tokens_of(adapter, prompt, prefix, text)
        seen.add(tokenised)
        assert size == len(text.encode())
        if whole[: len(start)] == start and len(whole) > len(start):
            assert (tokenised, [*start, *ids]) == ("together", whole), (prompt, text)
        else:
            assert (tokenised, list(ids)) == ("apart", tokenizer.encode(text)), (prompt, text)
            assert tokenizer.decode(ids) == text.encode(), (prompt, text)
        spelled, wanted = tokenizer.decode(ids), text.encode()
        if prompt == "" or "<think>" in prompt + text:  # a space may be added there
            spelled, wanted = spelled.replace(b" ", b""), wanted.replace(b" ", b"")
        assert spelled == wanted, (prompt, text)
        assert tokens_of(adapter, Prefix(start), prefix, text)[:2] == (tuple(tokenizer.encode(text)), "apart")
        assert tokens_of(adapter, prompt, prefix, ids) == (ids, "given", len(tokenizer.decode(ids)))
    assert seen == {"together", "apart"}


@pytest.mark.parametrize("name", FAMILIES)
def test_after_a_conversation_it_is_the_assistants_answer(name: str) -> None:
    """The template of these families is without an assistant's header, and writes the contents between spaces."""
    adapter = adapter_of(name)
    encode = adapter.tokenizer.encode_messages
    asked = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "the cat"}]
    prefix = as_prefix(adapter, asked)
    ids, tokenised, _ = tokens_of(adapter, asked, prefix, " sat on")
    both = encode([asked[0], {"role": "assistant", "content": "the cat sat on"}])
    assert (tokenised, [*prefix.token_ids, *ids]) == ("together", both)
    ids, tokenised, _ = tokens_of(adapter, asked[:1], as_prefix(adapter, asked[:1]), "cat")
    assert (tokenised, ids) == ("apart", tuple(adapter.tokenizer.encode("cat")))


def test_what_a_template_trims_is_kept() -> None:
    from decodekit.testing import BytesTokenizer

    tokenizer = BytesTokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}</{{ m.role }}>{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    adapter = TableAdapter({(): [0.0] * 257}, 257, tokenizer=tokenizer)
    asked = [{"role": "user", "content": "hi"}]
    prefix = as_prefix(adapter, asked)
    assert tokenizer.decode(prefix.token_ids) == b"<user>hi</user><assistant>"
    for text, tokenised in (("yes", "together"), (" yes", "apart"), ("  ", "apart")):
        ids, found, _ = tokens_of(adapter, asked, prefix, text)
        assert (found, tokenizer.decode(ids)) == (tokenised, text.encode())
