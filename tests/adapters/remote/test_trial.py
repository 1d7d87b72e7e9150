"""Verdicts on a chain and a server: what works, at what price, and the way out where it does not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx")

from decodekit import Chain, Session
from decodekit.model.fitness import Fitness
from decodekit.session.trial import CHAIN, tried
from decodekit.testing import NGramAdapter
from decodekit_remote import RemoteAdapter
from tests.adapters.remote.servers import TEXT, TableServer, TalkingTokenizer, serving


def verdicts(server: TableServer, chain: str, **params: Any) -> dict[str, Fitness]:
    """The verdicts on a session with this chain, by what they are about."""
    with Session(RemoteAdapter(base_url=server.url, **params), Chain.of(chain)) as session:
        return {each.what: each for each in tried(session)}


def test_a_server_of_ids_does_all_of_it() -> None:
    with serving("llama_server") as server:
        found = verdicts(server, "temperature=0.7 top_p=0.9", draft=1)
    assert {each.word for each in found.values()} == {"works"}
    assert "8 tokens, 1.0 requests a token" in found[CHAIN].why or "8 tokens, 1.1" in found[CHAIN].why
    assert found["the draw"].why.startswith("decodekit draws")


def test_a_chat_that_cannot_be_continued_is_said_to_be_drawn_by_the_server() -> None:
    with serving("openai_chat") as server:
        found = verdicts(server, "temperature=0.7")
    assert (found["the draw"].word, found["the law"].word, found[CHAIN].word) == ("works but", "works but", "works")
    assert "never proved" in found["the draw"].why and "openai" in found["the law"].why
    assert found["continuing an answer"].word == "cannot" and "prefill=" in found["continuing an answer"].remedy
    assert "lists" not in found and "end of text" not in found


def test_a_chain_that_the_server_cannot_apply_cannot_be_used() -> None:
    with serving("openai_chat") as server:
        found = verdicts(server, "temperature=0.7 top_k=3")
    assert found[CHAIN].word == "cannot" and "'top_k' of this chain" in found[CHAIN].why
    assert "lists" not in found and "end of text" not in found  # the remedies there are for a draw of decodekit


def test_prefill_that_is_ignored_is_named() -> None:
    with serving("openai_chat") as server:
        found = verdicts(server, "top_k=5", prefill="last_message", probe=False, dialect="openai_chat", draft=1)
    assert found[CHAIN].word == "cannot"
    assert found["continuing an answer"] == Fitness(
        "continuing an answer", "cannot", "prefill is ignored by this server", "sampler = 'provider'"
    )


def test_a_chain_that_needs_longer_lists_is_told_so() -> None:
    with serving("openai_chat") as server:
        server.prefill = "last_message"
        params = {"prefill": "last_message", "tokenizer": TalkingTokenizer()}
        found = verdicts(server, "temperature=5 typical_p=0.9", **params)
        short = verdicts(server, "top_k=5", **params)
    assert found[CHAIN].word == "cannot" and "needs longer lists than the server has" in found[CHAIN].why
    assert short[CHAIN].word == "works" and short["continuing an answer"].word == "works"


def test_an_adapter_that_says_nothing_of_itself_is_tried_all_the_same() -> None:
    with Session(NGramAdapter(TEXT, order=4), "top_k=5") as session:
        assert [(each.what, each.word) for each in tried(session)] == [("the draw", "works"), (CHAIN, "works")]


def test_the_doctor_shows_them_and_fails_where_the_chain_cannot_be_used(tmp_path: Path) -> None:
    config = tmp_path / "app.toml"
    with serving("openai_chat") as server:
        adapter = f'[adapter]\ntype = "remote"\nbase_url = "{server.url}"\n'
        config.write_text(f'{adapter}[[chain]]\nname = "top_k"\ntop_k = 3\n')
        done = subprocess.run(
            [sys.executable, "-m", "decodekit", "doctor", "-c", str(config), "--json"],
            capture_output=True,
            text=True,
            check=False,
        )
    words = {each["what"]: each["word"] for each in json.loads(done.stdout)["verdicts"]}
    assert (done.returncode, words[CHAIN], words["values"]) == (1, "cannot", "works")
    assert "this chain: " in done.stderr
