"""A server that reads two drawn tokens as one is noticed, however it counts and whatever the draft.

Everywhere "a" is the most likely token and the chain forbids it, so that every draw leaves the draft: "h" is drawn,
then "i", and the server reads "hi" as one token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pytest

pytest.importorskip("httpx")

import decodekit
from decodekit import Session
from decodekit.errors import ParameterError, ProviderError
from decodekit.testing import PiecesTokenizer
from decodekit_remote import RemoteAdapter
from tests.adapters.remote.servers import TableServer

PIECES = [*(bytes([i]) for i in range(128)), b"hi", None]
LETTER_A, LETTER_H, LETTER_I, HI, BOS = *b"ahi", 128, 129
TALK: Any = [{"role": "user", "content": "say"}]
DRAFTS: list[Any] = [1, 4, "auto", "stream"]
Usage = Callable[[int], Any]


class MergingTokenizer(PiecesTokenizer):
    """Letters, and "hi"; its template writes lines, and continues the assistant's."""

    def __init__(self) -> None:
        super().__init__(PIECES, bos_id=BOS)

    def encode_messages(self, messages: Sequence[Any]) -> list[int]:
        lines = [f"{each['role']}: {each['content']}\n" for each in messages if each["role"] == "user"]
        said = messages[-1]["content"] if messages[-1]["role"] == "assistant" else ""
        return [BOS, *self.encode("".join(lines) + "assistant: " + said)]


class MergingServer(TableServer):
    """Completions and chats, texts in and out.

    Args:
        dialect: of OpenAI.
        usage: makes ``usage`` of the number of tokens in the prompt; None for no such field.
        merges: whether "h" and "i" are read as one token.
    """

    def __init__(self, dialect: str, usage: Usage, *, merges: bool) -> None:
        self.usage, self.tokenizer = usage, MergingTokenizer()
        self.rest = "i" if merges else "o"
        super().__init__(dialect)

    def after(self, ids: list[int]) -> list[tuple[str, float]]:
        """The list after these ids, the most likely first: "hi" in one token is another context than in two."""
        follows = {LETTER_H: self.rest, HI: "x", LETTER_I: "y"}.get(ids[-1], "h")
        place = 3 * (len(ids) % 17)  # so that no list repeats another
        others = [chr(letter) for letter in range(place + 35, place + 38)]
        return [("a", 0.5), (follows, 0.3), *zip(others, (0.1, 0.05, 0.02), strict=True)]

    def answer(self, path: str, body: Any) -> Any:
        chat = self.dialect == "openai_chat"
        if path == "/v1/models":
            return {"object": "list", "data": [{"id": self.name}]}
        if path != ("/v1/chat/completions" if chat else "/v1/completions"):
            raise LookupError("File Not Found")
        ids = (
            self.tokenizer.encode_messages(body["messages"]) if chat else [BOS, *self.tokenizer.encode(body["prompt"])]
        )
        told = {"model": self.name, "usage": self.usage(len(ids))}
        pieces = []
        for _ in range(body["max_tokens"]):
            pieces.append({text: float(np.log(p)) for text, p in self.after(ids)})
            ids.append(LETTER_A)
        if body["stream"]:  # without a count, as most servers
            return [{"choices": [self._choice([piece], chat, "delta")]} for piece in pieces]
        return told | {"choices": [self._choice(pieces, chat, "message")]}

    def _choice(self, pieces: list[dict[str, float]], chat: bool, field: str) -> Any:
        text = "a" * len(pieces)
        reason = None if field == "delta" else "length"
        if not chat:
            lists = {"tokens": list(text), "top_logprobs": pieces}
            return {"index": 0, "text": text, "finish_reason": reason, "logprobs": lists}
        listed = [[_entry(*item) for item in piece.items()] for piece in pieces]
        content = [{**each[0], "top_logprobs": each} for each in listed]
        return {"index": 0, field: {"content": text}, "finish_reason": reason, "logprobs": {"content": content}}


def _entry(text: str, value: float) -> dict[str, Any]:
    return {"token": text, "bytes": [*text.encode()], "logprob": value}


@contextmanager
def merging(dialect: str, usage: Usage, *, merges: bool = True) -> Iterator[MergingServer]:
    server = MergingServer(dialect, usage, merges=merges)
    try:
        yield server
    finally:
        server.close()


def remote(server: MergingServer, *, named: bool, **params: Any) -> RemoteAdapter:
    params |= {"prefill": "last_message"} if server.dialect == "openai_chat" else {}
    tokenizer = MergingTokenizer() if named else None
    params = {"draft": 1, "attempts": 1, "probe": False, **params}
    return RemoteAdapter(base_url=server.url, dialect=server.dialect, tokenizer=tokenizer, **params)


def generated(adapter: RemoteAdapter, count: int) -> Any:
    """A greedy run without "a"."""
    asyncio.run(adapter.connect())
    assert adapter.tokenizer is not None
    (forbidden,) = adapter.tokenizer.encode("a")
    chain = decodekit.Chain([decodekit.processor("suppressed_tokens", suppressed_tokens=[forbidden])], "greedy")
    with Session(adapter, chain) as session:
        prompt = TALK if adapter.capabilities["dialect"] == "openai_chat" else "say"
        return session.generate(prompt, max_tokens=count)


def honest(count: int) -> Any:
    return {"prompt_tokens": count}


@pytest.mark.parametrize("draft", DRAFTS)
@pytest.mark.parametrize("usage", [honest, lambda _: None], ids=["counts", "no counts"])
@pytest.mark.parametrize("dialect", ["openai_chat", "openai_completions"])
def test_with_a_tokenizer_two_tokens_that_are_read_as_one_are_an_error(dialect: str, usage: Usage, draft: Any) -> None:
    with merging(dialect, usage) as server:
        with pytest.raises(ProviderError, match="retokenises the text") as caught:
            generated(remote(server, named=True, draft=draft), 4)
        assert caught.value.partial.text == "hi"


@pytest.mark.parametrize("dialect", ["openai_chat", "openai_completions"])
def test_with_a_tokenizer_what_is_allowed_is_noted(dialect: str) -> None:
    with merging(dialect, lambda _: None) as server:
        result = generated(remote(server, named=True, retokenised="allow"), 4)
    assert result.text == "hixh"
    noted = [step.schedule.get("retokenised_as") for step in result.trace.steps]
    length = len(MergingTokenizer().encode_messages(TALK)) if dialect == "openai_chat" else 4
    assert noted == [None, None, length + 1, length + 2]


@pytest.mark.parametrize("draft", DRAFTS)
@pytest.mark.parametrize("dialect", ["openai_chat", "openai_completions"])
def test_without_a_tokenizer_the_count_shows_it_for_every_draft(dialect: str, draft: Any) -> None:
    with merging(dialect, honest) as server:
        with pytest.raises(ProviderError, match="retokenises the text") as caught:
            generated(remote(server, named=False, draft=draft), 4)
        assert caught.value.partial.text == "hi"


def _at_most(most: int, count: int) -> Any:
    return {"prompt_tokens": min(count, most)}


@pytest.mark.parametrize("named", [True, False])
def test_a_server_that_cuts_texts_counts_nevertheless(named: bool) -> None:
    """The number stays the same while the text grows, as if nothing were counted."""
    for most in (4, 5):
        with (
            merging("openai_completions", partial(_at_most, most), merges=False) as server,
            pytest.raises(ProviderError, match="retokenises the text"),
        ):
            generated(remote(server, named=named), 6)
    with merging("openai_completions", partial(_at_most, 30), merges=False) as server:
        adapter = remote(server, named=True)
        asyncio.run(adapter.connect())
        with Session(adapter) as session, pytest.raises(ProviderError, match="41 tokens here, 30 there"):
            session.generate("say" * 13 + "s", max_tokens=1)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("draft", DRAFTS)
def test_an_answer_that_the_server_cuts_is_an_error_for_every_draft(draft: Any, named: bool) -> None:
    length = len(MergingTokenizer().encode_messages(TALK)) + 4
    with (
        merging("openai_chat", partial(_at_most, length), merges=False) as server,
        pytest.raises(ProviderError, match="retokenises the text"),
    ):
        generated(remote(server, named=named, draft=draft), 8)


def test_each_stream_costs_one_request_more() -> None:
    with merging("openai_completions", honest, merges=False) as server:
        assert generated(remote(server, named=False, draft="stream"), 3).text == "hoh"
        asked = server.asked("/v1/completions")
    streamed = [body["prompt"] for body in asked if body["stream"]]
    assert [body["prompt"] for body in asked if not body["stream"]] == streamed == ["say", "sayh", "sayho"]


def test_where_it_cannot_be_known_it_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    for draft in DRAFTS:
        caplog.clear()
        with merging("openai_completions", lambda _: None) as server:
            assert generated(remote(server, named=False, draft=draft), 4).text == "hixh"
        assert sum("no tokenizer is named" in record.getMessage() for record in caplog.records) == 1


class Uncached:
    """Counts only the tokens of a prompt that were not in its cache; ``details`` gives the others."""

    def __init__(self, *, details: bool) -> None:
        self.details, self.most = details, 0

    def __call__(self, count: int) -> Any:
        cached, self.most = min(self.most, count - 1), max(self.most, count)
        return {"prompt_tokens": count - cached} | (
            {"prompt_tokens_details": {"cached_tokens": cached}} if self.details else {}
        )


NO_COUNTS: dict[str, Callable[[], Usage]] = {
    "nothing": lambda: lambda _: {},
    "null": lambda: lambda _: {"prompt_tokens": None},
    "0": lambda: lambda _: {"prompt_tokens": 0},
    "-1": lambda: lambda _: {"prompt_tokens": -1},
    "always 1": lambda: lambda _: {"prompt_tokens": 1},
    "uncached": lambda: Uncached(details=False),
}
COUNTS: dict[str, Callable[[], Usage]] = {
    "6.0": lambda: lambda count: {"prompt_tokens": float(count)},
    '"6"': lambda: lambda count: {"prompt_tokens": str(count)},
    "cached": lambda: lambda count: {"prompt_tokens": count, "prompt_tokens_details": {"cached_tokens": count - 1}},
    "no details": lambda: lambda count: {"prompt_tokens": count, "prompt_tokens_details": None},
    "uncached and cached": lambda: Uncached(details=True),
}


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("usage", [*NO_COUNTS.values(), *COUNTS.values()], ids=[*NO_COUNTS, *COUNTS])
def test_a_server_that_reads_the_tokens_is_used_however_it_counts(usage: Callable[[], Usage], named: bool) -> None:
    with merging("openai_completions", usage(), merges=False) as server:
        assert generated(remote(server, named=named), 6).text == "hohoho"


@pytest.mark.parametrize("usage", COUNTS.values(), ids=list(COUNTS))
def test_counts_in_other_forms_are_counts(usage: Callable[[], Usage]) -> None:
    with merging("openai_completions", usage()) as server, pytest.raises(ProviderError, match="retokenises the text"):
        generated(remote(server, named=False), 4)


def _told(number: Any, _: int) -> Any:
    return {"prompt_tokens": number}


def test_a_number_that_is_none_is_a_typed_error() -> None:
    for number in ("six", 6.5, True, [6]):
        with (
            merging("openai_completions", partial(_told, number)) as server,
            pytest.raises(ProviderError, match="not an integer"),
        ):
            generated(remote(server, named=True), 1)


def test_a_count_without_bos_names_both_causes() -> None:
    """It may not count BOS, or not write it, which would be another sequence; no answer tells which."""
    for named in (True, False):
        with merging("openai_completions", lambda count: {"prompt_tokens": count - 1}, merges=False) as server:
            adapter = remote(server, named=named)
            if not named:
                assert generated(adapter, 2).text == "ho"
                continue
            with pytest.raises(ProviderError, match="does not write BOS, or does not count it"):
                generated(adapter, 2)


def test_a_text_for_a_chat_server_is_told_to_be_messages() -> None:
    with (
        merging("openai_chat", honest) as server,
        Session(remote(server, named=True)) as session,
        pytest.raises(ParameterError, match=r"takes conversations: give the prompt as messages, \[\{'role'"),
    ):
        session.generate("say", max_tokens=1)


def test_what_a_server_reports_as_cached_is_in_the_usage() -> None:
    with merging("openai_completions", COUNTS["cached"](), merges=False) as server:
        adapter = remote(server, named=False)
        assert generated(adapter, 2).usage.prompt_tokens is None
        with pytest.raises(ParameterError, match="name its tokenizer"):
            Session(adapter).count_tokens("hi")
    usages = []
    for name in ("cached", "no details"):
        with merging("openai_completions", COUNTS[name](), merges=False) as server:
            usages.append(generated(remote(server, named=True, draft=1), 2).usage)
    assert [usage.cached_tokens for usage in usages] == [usages[0].prompt_tokens - 1, None]
