"""A server that takes texts and has the tokenizer that was named: it reads the ids that were meant, or nothing is sent.

For every family of tokenizers; the server's tokenizer is that of transformers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pytest

pytest.importorskip("httpx")
pytest.importorskip("torch")
pytest.importorskip("transformers")

import transformers

from decodekit import Distribution, Prefix
from decodekit.errors import ParameterError, ProviderError
from decodekit.text.base import prompt_ids
from decodekit.text.huggingface import read_tokenizer
from decodekit_remote import RemoteAdapter
from tests.adapters.remote.servers import TableServer
from tests.families import FOLDERS, folder


class TextServer(TableServer):
    """``/v1/completions`` with texts in and lists keyed by text; it keeps the ids that it makes of each prompt.

    Args:
        name: the family of its tokenizer.
        bos: whether it writes BOS in front of a text.
    """

    def __init__(self, name: str, *, bos: bool = True) -> None:
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder(name))
        self.bos = bos
        self.read: list[list[int]] = []
        super().__init__("openai_completions")

    def answer(self, path: str, body: Any) -> Any:
        if path != "/v1/completions":
            raise LookupError("File Not Found")
        ids = self.tokenizer(body["prompt"], add_special_tokens=self.bos)["input_ids"]
        self.read.append(ids)
        listed = {"tokens": [" the"], "top_logprobs": [{" the": -0.5, " cat": -2.0}]}
        choice = {"index": 0, "text": " the", "finish_reason": "length", "logprobs": listed}
        return {"model": self.name, "choices": [choice], "usage": {"prompt_tokens": len(ids)}}


@contextmanager
def text_server(name: str, **how: Any) -> Iterator[TextServer]:
    server = TextServer(name, **how)
    try:
        yield server
    finally:
        server.close()


def asked(server: TextServer, name: str, prefixes: Sequence[Sequence[int]]) -> list[Any]:
    """The answer to each prefix, and the ids that the server read for it."""
    adapter = RemoteAdapter(
        base_url=server.url, tokenizer=str(folder(name)), dialect="openai_completions", probe=False, draft=1
    )

    async def all_of_them() -> list[Any]:
        found = []
        for ids in prefixes:
            before = len(server.read)
            (answer,) = await adapter.apredict([Prefix(ids)])
            found.append((answer, server.read[before:]))
        await adapter.aclose()
        return found

    return asyncio.run(all_of_them())


def same(server: TextServer, name: str, prefixes: Sequence[Sequence[int]]) -> list[bool]:
    """Whether each prefix was answered; the server has read exactly these ids then, and nothing otherwise."""
    answered = []
    for ids, (answer, read) in zip(prefixes, asked(server, name, prefixes), strict=True):
        if isinstance(answer, Distribution):
            assert read == [list(ids)]
        else:
            assert isinstance(answer, ParameterError | ProviderError) and read == [], (answer, read)
        answered.append(isinstance(answer, Distribution))
    return answered


TEXTS = ["hi the", " hi", "a<think>the</think>b", "<think>hi", "hello <think>the cat", "x  y", "\n", "é 東"]
ODD = ["e\u0301", "The", "<|im_end|>", "a</s>b", " <think> x", "<think>", " ", "   ", "ﬁ", "a▁b", "x "]


CANNOT = {  # texts that such a server, or such a vocabulary, reads as others
    "unigram": {"x  y"},
    "unigram with bytes": {"x  y"},
    "tiktoken, added tokens that strip": {"hello <think>the cat"},
    "word pieces": {"\n", "é 東"},
}


@pytest.mark.parametrize("name", list(FOLDERS))
def test_a_prompt_is_read_as_it_was_meant_or_is_not_sent(name: str) -> None:
    ours = read_tokenizer(folder(name))
    prompts = {}
    for text in [*TEXTS, *ODD]:
        with suppress(ParameterError):  # this vocabulary cannot encode it
            prompts[text] = prompt_ids(ours, text)
    with text_server(name) as server:
        found = dict(zip(prompts, same(server, name, list(prompts.values())), strict=True))
    assert {text for text in TEXTS if not found.get(text)} == CANNOT.get(name, set())
    assert not any(found.get(text) for text in ("<|im_end|>", "a</s>b") if name != "word pieces")


@pytest.mark.parametrize("name", list(FOLDERS))
def test_a_text_that_was_continued_is_read_as_it_was_meant_or_is_not_sent(name: str) -> None:
    """Any token may follow a prompt: added ones, pieces in the middle of words, spaces, control tokens."""
    ours = read_tokenizer(folder(name))
    start = prompt_ids(ours, "the cat")
    after = [i for i in range(ours.vocab_size) if ours.token_bytes(i) in (b" ", b"hi", b" hi", b" the", b"x", b"\n")]
    tails = [[i] for i in range(0, ours.vocab_size, max(1, ours.vocab_size // 60))]
    tails += [[added, other] for added in ours.whole_tokens for other in [*after, *ours.whole_tokens]]
    tails += [[other, added] for added in ours.whole_tokens for other in after]
    with text_server(name) as server:
        found = same(server, name, [[*start, *tail] for tail in tails])
    assert sum(found) > len(found) / 3
    behind = [ours.decode(tail) for tail, sent in zip(tails, found, strict=True) if sent and len(tail) == 2]
    assert name in ("word pieces", "tiktoken, added tokens that strip") or b"<think> hi" in behind


@pytest.mark.parametrize("name", ["legacy", "first", "tiktoken", "unigram"])
def test_a_conversation_needs_control_tokens_and_is_refused(name: str) -> None:
    talk = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "the"}]
    with text_server(name) as server:
        ((answer, read),) = asked(server, name, [read_tokenizer(folder(name)).encode_messages(talk)])
    assert isinstance(answer, ParameterError) and read == []
    assert "is a control token without a text" in str(answer) and "takes ids" in str(answer)


@pytest.mark.parametrize("name", ["legacy", "tiktoken"])
def test_the_bos_of_the_server_belongs_to_the_prefix(name: str) -> None:
    ids = prompt_ids(read_tokenizer(folder(name)), "the cat")
    with text_server(name) as server:
        assert same(server, name, [ids, ids[1:]]) == [True, False]
    with text_server(name, bos=False) as server:
        ((answer, read),) = asked(server, name, [ids])
    assert read[0] == ids[1:]  # and then whether it counts at all was tried
    assert isinstance(answer, ProviderError) and "retokenises the text" in str(answer)  # by its count
