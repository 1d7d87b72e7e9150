"""Runs over a server that takes texts or messages go on from their traces, in a process that has seen none of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import decodekit
from decodekit import Session, read_trace, replay
from decodekit.errors import ParameterError
from decodekit_remote import RemoteAdapter
from tests.adapters.remote.servers import TableServer, TalkingTokenizer, serving

TALK: Any = [{"role": "system", "content": "the cat"}, {"role": "user", "content": "what sat on the"}]
CHAIN = [decodekit.processor("top_k", top_k=8), decodekit.processor("temperature", temperature=0.8)]


def remote(server: TableServer, tokenizer: Any) -> RemoteAdapter:
    """A new one, which has met no conversation."""
    return RemoteAdapter(
        base_url=server.url, dialect="openai_chat", probe=False, tokenizer=tokenizer, prefill="last_message", draft=1
    )


@pytest.mark.parametrize(("prompt", "known"), [(TALK, False), (TALK, True), ("the cat?", False)])
def test_a_chat_goes_on_from_its_trace(prompt: Any, known: bool, tmp_path: Path) -> None:
    tokenizer = TalkingTokenizer() if known else None
    with serving("openai_chat") as server:
        server.prefill = "last_message"
        with Session(remote(server, tokenizer), decodekit.Chain(CHAIN), seed=3) as session:
            whole = session.generate(prompt, max_tokens=8)
            session.generate(prompt, max_tokens=3, trace=tmp_path / "some.jsonl")
        (again,) = decodekit.resume(
            tmp_path / "some.jsonl", remote(server, tokenizer), max_tokens=8, trace=tmp_path / "all.jsonl"
        )
        assert (again.token_ids, again.text) == (whole.token_ids, whole.text)
        assert decodekit.verify(tmp_path / "all.jsonl").word == "proved"
        assert replay(tmp_path / "all.jsonl", adapter=remote(server, tokenizer)).equal == 8
    assert read_trace(tmp_path / "all.jsonl").header.given == [prompt]


def test_ids_that_tell_what_was_given_need_nothing_beside_them(tmp_path: Path) -> None:
    with serving() as server, Session(RemoteAdapter(base_url=server.url), decodekit.Chain(CHAIN), seed=3) as session:
        session.generate("the cat?", max_tokens=2, trace=tmp_path / "ids.jsonl")
    header = json.loads((tmp_path / "ids.jsonl").read_text().splitlines()[0])["content"]
    assert "given" not in header and header["prompts"] == [list(b"the cat?")]


def test_messages_that_have_other_ids_now_are_refused(tmp_path: Path) -> None:
    class Other(TalkingTokenizer):
        def encode_messages(self, messages: Any) -> list[int]:
            return [*super().encode_messages(messages), 33]

    with serving("openai_chat") as server:
        server.prefill = "last_message"
        with Session(remote(server, TalkingTokenizer()), decodekit.Chain(CHAIN), seed=3) as session:
            session.generate(TALK, max_tokens=2, trace=tmp_path / "some.jsonl")
        with pytest.raises(ParameterError, match="other ids than in the trace"):
            decodekit.resume(tmp_path / "some.jsonl", remote(server, Other()), max_tokens=3)
