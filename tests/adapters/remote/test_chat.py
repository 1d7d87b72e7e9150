"""Chat endpoints: with a tokenizer, draws are those of the model in process, and answers go on in their middle."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

pytest.importorskip("httpx")

import decodekit
from decodekit import Session
from decodekit.errors import ParameterError, ProviderError
from decodekit.testing import NGramAdapter
from decodekit_remote import RemoteAdapter
from tests.adapters.remote.servers import TEXT, TableServer, TalkingTokenizer, serving

TALKS: list[Any] = [
    [{"role": "user", "content": "what sat on the"}],
    [{"role": "system", "content": "the cat"}, {"role": "user", "content": "and the dog"}],
]
TALKS.append([*TALKS[0], {"role": "assistant", "content": "the cat sat"}, {"role": "user", "content": "one "}])
CHAIN = [decodekit.processor("top_k", top_k=8), decodekit.processor("temperature", temperature=0.8)]
WAYS = ["last_message", "continue_final_message", "prefix"]


def in_process() -> NGramAdapter:
    """The server's table, with the server's template."""
    adapter = NGramAdapter(TEXT, order=4)
    adapter.tokenizer = TalkingTokenizer()
    return adapter


def decoded(adapter: Any) -> list[tuple[list[int], list[float]]]:
    """Tokens and their logprobs, for each conversation."""
    with Session(adapter, decodekit.Chain(CHAIN), seed=11) as session:
        steps = [list(session.stream(talk, max_tokens=40)) for talk in TALKS]
    return [([each.token_id for each in some], [each.choice.logprob for each in some]) for some in steps]


def remote(server: TableServer, **params: Any) -> RemoteAdapter:
    return RemoteAdapter(base_url=server.url, tokenizer=TalkingTokenizer(), **params)


@pytest.mark.parametrize("way", WAYS)
def test_the_tokens_are_those_of_the_model_in_process(way: Any) -> None:
    expected = decoded(in_process())
    assert len({tuple(tokens) for tokens, _ in expected}) == len(TALKS)
    with serving("openai_chat") as server:
        server.prefill = way
        for draft in (1, 4, "auto", "stream"):
            adapter = remote(server, draft=draft, prefill=way)
            assert adapter.capabilities["dialect"] == "openai_chat" and adapter.capabilities["prefill"] == way
            got = decoded(adapter)
            assert [tokens for tokens, _ in got] == [tokens for tokens, _ in expected], f"draft={draft}"
            for (_, ours), (_, theirs) in zip(got, expected, strict=True):
                assert ours == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("way", ["no", *WAYS])
@pytest.mark.parametrize("told", WAYS)
def test_a_server_that_does_not_go_on_is_noticed(way: Any, told: Any) -> None:
    with serving("openai_chat") as server:
        server.prefill = way
        goes_on = way in (told, "last_message")  # which needs no word of its own
        for probe in (True, False):  # tried when the server is met, or when it is needed first
            adapter = remote(server, draft=1, prefill=told, probe=probe, dialect="openai_chat")
            with Session(adapter, decodekit.Chain(CHAIN), seed=11) as session:
                if goes_on:
                    assert len(session.generate(TALKS[0], max_tokens=2).token_ids) == 2
                    assert adapter.capabilities["prefill_proved"] is True
                    continue
                with pytest.raises(ProviderError, match=r"it began its answer again|did not continue") as caught:
                    session.generate(TALKS[0], max_tokens=2)
            assert "continue_final_message" in str(caught.value)
            assert probe or len(caught.value.partial.token_ids) == 1  # the first token needs no prefill


def test_a_text_is_the_users_message_and_stays_it() -> None:
    with serving("openai_chat") as server:
        server.prefill = "last_message"
        adapter = RemoteAdapter(base_url=server.url, draft=1, prefill="last_message")
        asyncio.run(adapter.connect())
        server.requests.clear()
        with Session(adapter, decodekit.Chain(CHAIN), seed=1) as session:
            said = session.generate("the cat?", max_tokens=3).text
        asked = server.asked("/v1/chat/completions")
        assert all(body["messages"][0] == {"role": "user", "content": "the cat?"} for body in asked)
        assert [body["messages"][1:] for body in asked[:2]] == [[], [{"role": "assistant", "content": said[:1]}]]


def test_ids_that_began_with_no_message_are_refused() -> None:
    with serving("openai_chat") as server:
        server.prefill = "last_message"
        adapter = remote(server, prefill="last_message")
        with Session(adapter, decodekit.Chain(CHAIN)) as session, pytest.raises(ParameterError, match="conversations"):
            session.generate("the cat?", max_tokens=1)


BEGUN: Any = [{"role": "user", "content": "what sat on the"}, {"role": "assistant", "content": "the c"}]


def test_an_assistants_message_at_the_end_is_refused_where_it_would_begin_anew() -> None:
    with serving("openai_chat") as server:
        adapter = RemoteAdapter(base_url=server.url)
        with Session(adapter, decodekit.Chain(CHAIN), seed=1) as session:
            with pytest.raises(ParameterError, match=r"an assistant message.*prefill='last_message'"):
                session.generate(BEGUN, max_tokens=2)
            assert session.generate(BEGUN[:1], max_tokens=1).token_ids


@pytest.mark.parametrize("way", WAYS)
def test_an_assistants_message_at_the_end_is_gone_on_with(way: Any) -> None:
    with serving("openai_chat") as server:
        server.prefill = way
        adapter = RemoteAdapter(base_url=server.url, draft=1, prefill=way)
        asyncio.run(adapter.connect())
        server.requests.clear()
        with Session(adapter, decodekit.Chain(CHAIN), seed=1) as session:
            said = session.generate(BEGUN, max_tokens=2).text
        first, second = server.asked("/v1/chat/completions")
    assert [body["messages"][0] for body in (first, second)] == [BEGUN[0]] * 2
    assert [body["messages"][-1]["content"] for body in (first, second)] == ["the c", "the c" + said[:1]]
    for body in (first, second):
        assert len(body["messages"]) == 2
        assert body.get("continue_final_message", False) == (way == "continue_final_message")
        assert body["messages"][-1].get("prefix", False) == (way == "prefix")


def test_a_server_that_begins_a_last_message_anew_is_noticed() -> None:
    with serving("openai_chat") as server:
        adapter = RemoteAdapter(
            base_url=server.url, draft=1, prefill="last_message", probe=False, dialect="openai_chat"
        )
        session = Session(adapter, decodekit.Chain(CHAIN), seed=1)
        with session, pytest.raises(ProviderError, match=r"it began its answer again|did not continue"):
            session.generate(BEGUN, max_tokens=2)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("draft", "longest"), [(1, 3), (1, 17), (4, 3), (4, 9), ("stream", 5)])
def test_a_server_that_ignores_only_long_prefills_is_noticed(known: bool, draft: Any, longest: int) -> None:
    """It does not count them either, or the count would show it."""
    with serving("openai_chat") as server:
        server.prefill, server.longest_prefill = "last_message", longest
        tokenizer = TalkingTokenizer() if known else None
        adapter = RemoteAdapter(base_url=server.url, tokenizer=tokenizer, draft=draft, prefill="last_message")
        with Session(adapter, decodekit.Chain(CHAIN), seed=11) as session:
            with pytest.raises(ProviderError, match=r"began its answer again after a prefill of \d+") as caught:
                session.generate(TALKS[0], max_tokens=40)
            assert adapter.capabilities["prefill_proved"] is False
            with pytest.raises(ProviderError, match="began its answer again"):
                session.generate([*TALKS[0], {"role": "assistant", "content": "the"}], max_tokens=8)
    partial = caught.value.partial.token_ids
    assert len(partial) >= 3
    if not known:
        return
    expected = Session(in_process(), decodekit.Chain(CHAIN), seed=11).generate(TALKS[0], max_tokens=40).token_ids
    assert partial == expected[: len(partial)]  # nothing was drawn from a wrong answer


def test_an_answer_that_repeats_itself_costs_few_requests_and_no_error() -> None:
    def row(ids: Any) -> np.ndarray:
        """After b comes a, after a comes b: every second beginning looks like the first one."""
        leading = {ord("a"): ord("b"), ord(","): ord("7")}.get(ids[-1], ord("a"))
        scores = np.where(np.arange(257) == leading, 0.0, -9.0 - np.arange(257) % 7)
        return scores - np.logaddexp.reduce(scores)

    with serving("openai_chat") as server:
        server.prefill, server.row = "last_message", row  # type: ignore[method-assign]
        adapter = remote(server, draft=1, prefill="last_message", probe=False, dialect="openai_chat")
        with Session(adapter, decodekit.Chain([decodekit.processor("top_k", top_k=1)]), seed=1) as session:
            assert session.generate(TALKS[0], max_tokens=40).text == "ab" * 20
        asked = server.asked("/v1/chat/completions")
    steered = [body for body in asked if body["messages"][-1]["content"].endswith("6,")]
    assert [len(body["messages"][-1]["content"]) - len(" 1, 2, 3, 4, 5, 6,") for body in steered] == [2, 4, 8, 16, 32]


@pytest.mark.parametrize("dialect", ["llama_server", "vllm"])
def test_a_server_that_tokenises_goes_on_with_the_last_message(dialect: Any) -> None:
    with serving(dialect) as server:
        server.prefill = "last_message"
        with Session(RemoteAdapter(base_url=server.url), decodekit.Chain(CHAIN), seed=1) as session:
            result = session.generate(BEGUN, max_tokens=3)
            assert bytes(result.trace.prompt_of(0)) == b"\nuser: what sat on thethe c"
        if dialect == "llama_server":  # of vLLM it is asked in the question
            server.prefill = "no"
            session = Session(RemoteAdapter(base_url=server.url), seed=1)
            with session, pytest.raises(decodekit.ConfigError, match="--no-prefill-assistant"):
                session.generate(BEGUN, max_tokens=3)
