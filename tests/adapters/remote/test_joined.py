"""Lists of llama-server in which one entry stands for all tokens of a character, with the values of the last alone."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from decodekit import Chain, Session
from decodekit.errors import ProviderError
from decodekit_remote import RemoteAdapter
from decodekit_remote.dialect import Request
from decodekit_remote.probing import dialect_named
from tests.adapters.remote.servers import TalkingTokenizer

ASKED: Any = [{"role": "user", "content": "a"}]


def listed(token: int, text: str, whole: bytes, values: dict[int, float]) -> dict[str, Any]:
    """An entry as llama-server b11434 writes it; ``token`` is one byte, and the entry has all bytes."""
    top = [{"id": each, "token": "", "bytes": [each], "logprob": value} for each, value in values.items()]
    return {"id": token, "token": text, "bytes": list(whole), "logprob": values[token], "top_logprobs": top}


PLAIN = listed(0x20, " ", b" ", {0x20: -0.1, 0x21: -3.0})
JOINED = listed(0x80, "\U0001f600", "\U0001f600".encode(), {0x80: -0.03, 0x86: -4.4})


def adapter(entries: list[Any], text: str) -> RemoteAdapter:
    def answer(request: httpx.Request) -> httpx.Response:
        choice = {"index": 0, "finish_reason": "length", "logprobs": {"content": entries}}
        return httpx.Response(200, json={"choices": [choice | {"message": {"role": "assistant", "content": text}}]})

    return RemoteAdapter(
        base_url="http://host",
        dialect="openai_chat",
        prefill="last_message",
        tokenizer=TalkingTokenizer(),
        probe=False,
        retokenised="allow",
        draft=4,
        transport=httpx.MockTransport(answer),
    )


def test_the_list_of_a_characters_last_token_is_no_answer_for_the_prefix_before_it() -> None:
    with (
        Session(adapter([JOINED, PLAIN], "\U0001f600 "), Chain(sampler="greedy")) as session,
        pytest.raises(ProviderError, match="part of a character"),
    ):
        session.generate(ASKED, max_tokens=1)


def test_a_draft_ends_before_a_character_of_several_tokens() -> None:
    reply = adapter([PLAIN, JOINED, PLAIN], " \U0001f600 ")
    with Session(reply, Chain(sampler="greedy")) as session:
        result = session.generate(ASKED, max_tokens=1)
    step = result.trace.steps[0]
    assert (step.token_id, step.choice.raw_logprob, step.raw.disclosed) == (0x20, -0.1, 2)


@pytest.mark.parametrize("with_ids", [True, False])
def test_an_entry_of_one_token_is_told_from_a_joined_one(with_ids: bool) -> None:
    dialect, question = dialect_named("openai_chat"), Request(("a",), top=2, tokens=3)
    own = listed(0x80, "", b"\x80", {0x80: -0.1, 0x86: -4.4})  # of servers that have lists for parts of characters
    for entries, count in (([PLAIN, own, PLAIN], 3), ([PLAIN, JOINED, PLAIN], 1), ([JOINED], 0)):
        content = [dict(entry) for entry in entries]
        if not with_ids:
            for entry in content:
                entry.pop("id")
                entry["top_logprobs"] = [{k: v for k, v in each.items() if k != "id"} for each in entry["top_logprobs"]]
        choice = {"index": 0, "finish_reason": "length", "message": {"content": "x"}, "logprobs": {"content": content}}
        (reply,) = dialect.reply({"choices": [choice]}, question)
        assert (len(reply.positions), reply.cut) == (count, count < len(entries))
        event = dialect.event({"choices": [choice | {"delta": {"content": "x"}, "finish_reason": None}]}, 0)
        assert (len(event.positions), event.cut) == (count, count < len(entries))
        drawn = dialect.drawn({"choices": [choice | {"delta": {"content": "x"}, "finish_reason": None}]})
        assert [entry.logprob is None for entry in drawn.entries] == [entry is JOINED for entry in entries]


def test_completions_with_lists_of_that_form_are_read_too() -> None:
    dialect, question = dialect_named("openai_completions"), Request(("a",), top=2, tokens=3)
    for entries, count in (([PLAIN, PLAIN], 2), ([PLAIN, JOINED, PLAIN], 1)):
        choice = {"index": 0, "finish_reason": "length", "text": "x", "logprobs": {"content": entries}}
        (reply,) = dialect.reply({"choices": [choice]}, question)
        assert [(each.chosen, list(each.tokens)) for each in reply.positions] == [(" ", [" ", "!"])] * count
        assert reply.cut == (count < len(entries))
    half = listed(0x80, "", b"\x80", {0x80: -0.1, 0x21: -3.0})
    (reply,) = dialect.reply({"choices": [choice | {"logprobs": {"content": [half]}}]}, question)
    assert list(reply.positions[0].tokens) == [b"\x80", "!"]
    with pytest.raises(ProviderError, match="part of a character"):
        dialect.event({"choices": [choice | {"logprobs": {"content": [JOINED]}, "finish_reason": None}]}, 0)
