"""Answers that the server draws: the chain as its parameters, its tokens as steps, and traces that say so."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any

import numpy as np
import pytest

pytest.importorskip("httpx")

import decodekit
from decodekit import AsyncSession, Chain, Context, Prefix, Session
from decodekit.errors import ParameterError, ProviderError, TraceError
from decodekit.testing import NGramAdapter
from decodekit_remote import RemoteAdapter
from tests.adapters.remote.servers import TEXT, TableServer, TalkingTokenizer, respond, serving

ASKED: Any = [{"role": "user", "content": "what sat on the"}]
PATH = "/v1/chat/completions"
LAWS = {
    "openai": [
        "provider",
        "temperature=0.7 provider",
        "temperature=1.3 top_p=0.9 provider",
        "presence_penalty=1.5 frequency_penalty=0.5 temperature=0.8 top_p=0.95 provider",
        "top_p=0.9 temperature=0 provider",
    ],
    "vllm": ["min_p=0.05 top_k=9 provider", "temperature=0.8 min_p=0.02 top_k=20 top_p=0.9 provider"],
}


def remote(server: TableServer, **params: Any) -> RemoteAdapter:
    return RemoteAdapter(base_url=server.url, **({"dialect": "openai_chat"} | params))


def drawn(server: TableServer) -> list[Any]:
    """The requests for answers that the server draws."""
    return [body for body in server.asked(PATH) if "seed" in body]


@pytest.mark.parametrize(("engine", "text"), [(engine, text) for engine, texts in LAWS.items() for text in texts])
def test_the_servers_law_is_the_chains(engine: Any, text: str) -> None:
    chain = Chain.of(text)
    model = NGramAdapter(TEXT, order=4)
    prompt = TalkingTokenizer().encode_messages(ASKED)
    with serving("openai_chat") as server:
        adapter = remote(server, tokenizer=TalkingTokenizer(), engine=engine)
        with Session(adapter, chain, seed=1) as session:
            result = session.generate(ASKED, max_tokens=12)
        for i, law in enumerate(server.laws):
            (raw,) = model.predict([Prefix([*prompt, *result.token_ids[:i]])])
            states = Context(tuple(prompt), result.token_ids[:i])
            ours = np.exp(chain.apply(raw, states).logprobs_of(range(257)))  # type: ignore[arg-type]
            np.testing.assert_allclose(law, ours, atol=1e-9)
    assert len(result.token_ids) == len(server.laws) == 12


REFUSED = {
    "top_k=5": "'top_k' of this chain: openai has no such parameter",
    "top_p=0.9 temperature=0.7": "'top_p' of this chain: it comes before temperature in this chain",
    "presence_penalty(presence_penalty=1.0,scope='both')": "here scope is 'both', and openai has 'output'",
    "temperature=0.5 temperature=0.5": "it is in the chain twice",
    "temperature=3": "temperature: must be less than or equal to 2",
}


@pytest.mark.parametrize("text", REFUSED)
def test_a_chain_that_the_server_cannot_apply_is_refused_by_its_part(text: str) -> None:
    with serving("openai_chat") as server, Session(remote(server), Chain.of(f"{text} provider")) as session:
        with pytest.raises(ParameterError, match=REFUSED[text].replace("(", r"\(")):
            session.generate(ASKED, max_tokens=3)
        assert drawn(server) == []


def test_a_step_has_the_servers_token_and_list_and_is_consistent() -> None:
    with serving("openai_chat") as server:
        adapter = remote(server, tokenizer=TalkingTokenizer())
        with Session(adapter, Chain.of("temperature=0.7 provider"), seed=5, top_logprobs=3) as session:
            steps = list(session.stream(ASKED, max_tokens=20, level="full"))
            result = session.generate(ASKED, max_tokens=20)
        (first, second) = drawn(server)
        assert (first["seed"], first["temperature"], first["top_p"], first["max_tokens"]) == (5, 0.7, 1.0, 20)
        assert first == second  # the same question again: what comes is the server's affair
        row = server.row(TalkingTokenizer().encode_messages(ASKED))
    assert len(steps) == 20 and result.finish_reason == "length"
    step = steps[0]
    assert step.choice.raw_logprob == pytest.approx(float(row[step.token_id]), abs=1e-12)
    assert (step.choice.logprob, step.draw, step.evidence, step.entries) == (None, None, None, ())
    assert step.raw.stage == "raw" and step.raw.disclosed >= 20 and len(step.raw.top) == 3
    answer = step.answer(257)
    assert answer is not None and answer.bounds("entropy").low < answer.bounds("entropy").high
    assert result.trace.header.adapter["drawing"]["settings"] == {"temperature": 0.7, "top_p": 1.0}
    for chain in (False, True):
        verdict = decodekit.verify(result.trace, chain=chain)
        assert verdict.word == "consistent" and "provider drew" in verdict.why and verdict.counts == {"consistent": 20}
    assert decodekit.replay(result.trace).unknown == 20
    with pytest.raises(TraceError, match="the provider drew these tokens"):
        decodekit.replay(result.trace, adapter=NGramAdapter(TEXT, order=4))


def test_without_a_tokenizer_a_trace_comes_back_from_its_file(tmp_path: Any) -> None:
    path = tmp_path / "run.trace"
    with serving("openai_chat") as server, Session(remote(server), Chain.of("provider"), seed=2) as session:
        result = session.generate("one ", max_tokens=9, trace=path)
    trace = decodekit.read_trace(path)
    assert "".join(step.text for step in trace.steps) == result.text and len(result.text) == 9
    assert decodekit.verify(path).word == "consistent"


def test_samples_are_requests_of_their_own_with_seeds_of_their_own() -> None:
    with serving("openai_chat") as server, Session(remote(server), Chain.of("provider"), seed=7) as session:
        results = session.generate_many(["one ", "the cat ", "one "], n=2, max_tokens=15)
        asked = drawn(server)
    texts = [[result.text for result in each] for each in results]
    assert len(asked) == 6 and asked[0]["seed"] == 7
    by_prompt = [(body["messages"][0]["content"], body["seed"]) for body in asked]
    assert len(set(by_prompt)) == 6 and len({text for some in texts for text in some}) > 3
    assert [[len(result.token_ids) for result in each] for each in results] == [[15, 15]] * 3


def test_an_answer_ends_where_the_server_says_so() -> None:
    with serving("openai_chat") as server, Session(remote(server), Chain.of("provider"), seed=7) as session:
        server._rows[tuple(TalkingTokenizer().encode_messages([{"role": "user", "content": "end"}]))] = np.where(
            np.arange(257) == 256, 0.0, -1e4
        )
        nothing = session.generate("end", max_tokens=5)
        stopped = session.generate("the cat ", max_tokens=60, stop=["the "])
        asked = drawn(server)[-1]
    assert (nothing.text, nothing.token_ids, nothing.finish_reason) == ("", (), "stop")
    assert stopped.finish_reason == "stop" and "the " not in stopped.text and asked["stop"] == ["the "]


def test_logprobs_that_are_missing_are_recorded_as_missing() -> None:
    with serving("openai_chat") as server:
        adapter = remote(server, probe=False)
        server.gives_logprobs = False
        with Session(adapter, Chain.of("temperature=0.5 provider"), seed=7) as session:
            result = session.generate(ASKED, max_tokens=8)
    assert len(result.text) == 8 and decodekit.verify(result.trace).word == "consistent"
    step = result.trace.steps[0]
    assert (step.raw.disclosed, step.raw.top, step.choice.raw_logprob) == (0, (), None)
    assert step.schedule is not None and step.schedule["logprobs"] == "none" and "unknown" in repr(step)


def test_a_chat_that_cannot_be_continued_is_drawn_by_the_server_and_said_once(caplog: Any) -> None:
    with serving("openai_chat") as server, caplog.at_level(logging.WARNING):
        with Session(remote(server), "temperature=0.7", seed=7) as session:
            for _ in range(2):
                result = session.generate(ASKED, max_tokens=6)
            greedy = session.generate(ASKED, max_tokens=6, chain=Chain.of("greedy"))
        assert [body["temperature"] for body in drawn(server)] == [0.7, 0.7, 0]
        said = [record.getMessage() for record in caplog.records if "provider draws" in record.getMessage()]
        assert len(said) == 1
    assert result.trace.header.chain["sampler"]["name"] == "provider"
    assert len(greedy.token_ids) == 6 and decodekit.verify(greedy.trace).word == "consistent"


def test_tasks_of_an_event_loop_draw_at_the_same_time() -> None:
    async def main(server: TableServer) -> list[str]:
        async with AsyncSession(remote(server), Chain.of("provider"), seed=1) as session:
            one, other = await asyncio.gather(
                session.generate("one ", max_tokens=7), session.generate_many(["the cat "], n=3, max_tokens=4)
            )
            async with session.stream("the dog ", max_tokens=50) as steps:
                first = await anext(steps)
            return [one.text, *(each.text for each in other[0]), first.text]

    with serving("openai_chat") as server:
        assert [len(text) for text in asyncio.run(main(server))] == [7, 4, 4, 4, 1]


def test_an_adapter_that_does_not_draw_refuses() -> None:
    chain = Chain.of("provider")
    with (
        Session(NGramAdapter(TEXT, order=4), chain) as session,
        pytest.raises(ParameterError, match="gives distributions and draws nothing itself"),
    ):
        session.generate("one ", max_tokens=2)
    with (
        serving("llama_server") as server,
        Session(RemoteAdapter(base_url=server.url), chain) as session,
        pytest.raises(ParameterError, match="dialect 'llama_server' continues any prefix"),
    ):
        session.generate("one ", max_tokens=2)


def test_what_a_provider_cannot_do_is_refused() -> None:
    bias = Chain([decodekit.processor("logit_bias", logit_bias={5: 1.0})], "provider")
    with serving("openai_chat") as server, Session(remote(server), Chain.of("provider")) as session:
        with pytest.raises(ParameterError, match="ban goes back"):
            session.generate("one ", max_tokens=2, ban=["cat"])
        with pytest.raises(ParameterError, match="logit_bias names token ids"):
            session.generate("one ", max_tokens=2, chain=bias)


def test_a_stream_that_breaks_off_ends_with_what_came() -> None:
    def torn(server: TableServer, connection: socket.socket, response: bytes) -> bool:
        connection.sendall(response[: len(response) * 2 // 3])
        return False

    with serving("openai_chat") as server, Session(remote(server), Chain.of("provider")) as session:
        session.generate("one ", max_tokens=1)
        server.fault = lambda _, path: torn if path == PATH else None
        with pytest.raises(ProviderError, match="broke off") as caught:
            session.generate("the cat ", max_tokens=30)
        assert 0 < len(caught.value.partial.token_ids) < 30 and caught.value.partial.finish_reason == "error"


def test_a_key_that_a_server_repeats_is_in_no_error(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "sk-canary-0123456789abcdef"
    monkeypatch.setenv("CANARY_KEY", key)

    def refuse(server: TableServer, connection: socket.socket, response: bytes) -> bool:
        connection.sendall(respond(400, {"error": {"message": f"bad key {key}", "type": "invalid_request_error"}}))
        return True

    with serving("openai_chat") as server:
        adapter = remote(server, api_key_env="CANARY_KEY")
        with Session(adapter, Chain.of("provider"), seed=1) as session:
            session.generate("one ", max_tokens=2, trace=tmp_path / "run.trace")
            server.fault = lambda _, path: refuse if path == PATH else None
            with pytest.raises(ProviderError, match="bad key") as caught:
                session.generate("one ", max_tokens=2)
    assert key not in str(caught.value) and key not in (tmp_path / "run.trace").read_text()


@pytest.mark.parametrize("way", ["left out", "refused"])
def test_a_chat_without_logprobs_is_text_only(way: str, caplog: Any) -> None:
    def refuse(server: TableServer, connection: socket.socket, response: bytes) -> bool:
        connection.sendall(respond(400, {"error": {"message": "logprobs is not supported with this model"}}))
        return True

    with serving("openai_chat") as server, caplog.at_level(logging.WARNING):
        server.gives_logprobs = False
        server.fault = lambda _, path: (
            refuse if path == PATH and way == "refused" and "logprobs" in server.requests[-1][2] else None
        )
        with Session(RemoteAdapter(base_url=server.url), "temperature=0.5", seed=7) as session:
            result = session.generate(ASKED, max_tokens=8)
            assert len(session.generate(ASKED, max_tokens=1).text) == 1
            with pytest.raises(ParameterError, match=r"gives no logprobs.*chain='temperature=0.7 provider'"):
                session.score(ASKED, "the")
        assert "logprobs" not in drawn(server)[-1]
        assert sum("provider draws" in record.getMessage() for record in caplog.records) == 1
    assert len(result.text) == 8 and result.trace.steps[0].raw.disclosed == 0


def test_runs_that_share_few_connections_do_not_wait_for_one_another() -> None:
    async def main(server: TableServer) -> list[Any]:
        async with AsyncSession(remote(server, concurrency=2, deadline=10), Chain.of("provider"), seed=1) as session:
            runs = [session.generate_many(["one ", "the "], n=2, max_tokens=5 + i) for i in range(4)]
            return [each for run in await asyncio.gather(*runs) for some in run for each in some]

    with serving("openai_chat") as server:
        results = asyncio.run(main(server))
    assert len(results) == 16 and {result.finish_reason for result in results} <= {"length", "stop"}
