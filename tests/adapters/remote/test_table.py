"""Equal distributions give equal tokens, however they travel: against the same table in process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx")

import decodekit
from decodekit import Disclosure, Distribution, Prefix, Session
from decodekit.distribution.disclosure import ALL
from decodekit.model.asking import connect
from decodekit.testing import BytesTokenizer, NGramAdapter, check_adapter
from decodekit_remote import RemoteAdapter
from decodekit_remote.dialects.vllm import VLLMDialect
from tests.adapters.remote.servers import TEXT, TableServer, serving

PROMPTS = ["the cat ", "one day the ", "and the dog saw"]
CHAINS = {
    "cold": [decodekit.processor("temperature", temperature=0.3)],
    "nucleus": [decodekit.processor("temperature", temperature=0.7), decodekit.processor("top_p", top_p=0.9)],
    "plain": [],
}


def remote(server: TableServer, **params: Any) -> RemoteAdapter:
    return RemoteAdapter(base_url=server.url, tokenizer=BytesTokenizer(), **params)


def decoded(adapter: Any, chain: str, *, tokens: int = 60) -> list[tuple[int, ...]]:
    with Session(adapter, decodekit.Chain(CHAINS[chain]), seed=11) as session:
        one_by_one = [session.generate(prompt, max_tokens=tokens).token_ids for prompt in PROMPTS]
        together = session.generate_many(PROMPTS, n=2, max_tokens=tokens // 3)
    return [*one_by_one, *(result.token_ids for results in together for result in results)]


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("dialect", ["llama_server", "vllm"])
def test_the_tokens_are_those_of_the_model_in_process_for_any_draft(dialect: str, chain: str) -> None:
    expected = decoded(NGramAdapter(TEXT, order=4), chain)
    with serving(dialect) as server:
        for draft in (1, 4, 16, "auto", "stream"):
            adapter = remote(server, draft=draft, top=30)
            assert decoded(adapter, chain) == expected, f"draft={draft}"


def test_a_draft_takes_fewer_requests() -> None:
    with serving() as server:
        counts = {}
        for draft in (1, 4, 16, "stream"):
            adapter = remote(server, draft=draft)
            asyncio.run(adapter.connect())
            before = len(server.asked("/completion"))
            with Session(adapter, decodekit.Chain(CHAINS["cold"]), seed=1) as session:
                session.generate("the cat ", max_tokens=64)
            counts[draft] = len(server.asked("/completion")) - before
    assert counts[1] == 64
    assert counts[4] < 32
    assert counts[16] < counts[4]
    assert counts["stream"] <= counts[16]


def test_a_stream_is_closed_at_the_first_other_draw() -> None:
    with serving(pause=0.002) as server:
        adapter = remote(server, draft="stream")
        with Session(
            adapter, decodekit.Chain([decodekit.processor("temperature", temperature=1.5)]), seed=1
        ) as session:
            session.generate("the cat ", max_tokens=30)
        assert adapter.measured["streams"] <= 1


def test_the_observed_acceptance_is_the_predicted_one() -> None:
    """Greedy drafts are right with the probability of the likeliest token: within 4 standard errors."""
    with serving() as server:
        adapter = remote(server, draft=4, top=257)
        with Session(adapter, decodekit.Chain(), seed=5) as session:
            steps = [step for stream in range(4) for step in session.stream("the ", max_tokens=250, stream=stream)]
        ids: dict[int, list[int]] = {}
        predicted = []
        for step in steps:
            past = ids.setdefault(step.stream, list(b"the "))
            predicted.append(float(server.row(past)[:256].max()))
            past.append(step.token_id)
    import numpy as np

    chances = np.exp(predicted)
    expected, error = chances.sum(), np.sqrt((chances * (1 - chances)).sum())
    measured = adapter.measured
    assert measured["drafted"] >= len(steps) - 2 * 4
    assert abs(measured["accepted"] - expected * measured["drafted"] / len(steps)) < 4 * error + 4


def test_ancestors_go_out_as_one_request_where_the_server_scores_prompts() -> None:
    ids = list(b"the cat sat on the")
    chain = [Prefix(ids[:end]) for end in range(1, len(ids) + 1)]
    with serving("vllm") as server:
        adapter = decodekit.Session(remote(server, draft=1)).adapter
        connect(adapter)
        server.requests.clear()
        answers = adapter.predict(chain)
        assert len(server.asked("/v1/completions")) == 1
        assert server.asked("/v1/completions")[0]["echo"] is True
        for prefix, answer in zip(chain, answers, strict=True):
            assert isinstance(answer, Distribution)
            row = server.row(prefix.token_ids)
            assert [answer.logprob(int(token)) for token in answer.token_ids] == row[answer.token_ids].tolist()
            assert answer.tail is not None and answer.tail.max_logprob is not None
            assert (
                row[[i for i in range(257) if i not in set(answer.token_ids.tolist())]].max() <= answer.tail.max_logprob
            )
        adapter.close()


@pytest.mark.parametrize(("dialect", "requests"), [("llama_server", 1), ("vllm", 1)])
def test_prompts_of_one_call_go_out_as_one_request(dialect: str, requests: int) -> None:
    rows = [Prefix(text.encode()) for text in ("the cat", "a dog", "one day")]
    with serving(dialect) as server:
        adapter = decodekit.Session(remote(server, draft=1)).adapter
        connect(adapter)
        server.requests.clear()
        answers = adapter.predict(rows)
        assert len(server.requests) == requests
        for prefix, answer in zip(rows, answers, strict=True):
            assert isinstance(answer, Distribution)
            assert answer.mode == int(server.row(prefix.token_ids).argmax())
        adapter.close()


def test_named_ids_come_with_the_usual_head() -> None:
    prefix = Prefix(b"the cat")
    with serving("vllm") as server:
        adapter = decodekit.Session(remote(server, draft=1, top=5, probe=False, dialect="vllm")).adapter
        (answer,) = adapter.predict([prefix], Disclosure(ids=(3, 9)))
        assert isinstance(answer, Distribution) and answer.token_ids is not None
        row = server.row(prefix.token_ids)
        assert answer.logprob(3) == row[3] and answer.logprob(9) == row[9]
        assert answer.top(5).token_ids is not None
        assert {*row.argsort()[-5:].tolist(), 3, 9} <= set(answer.token_ids.tolist())
        adapter.close()


def test_more_ids_than_can_be_named_come_with_everything() -> None:
    with serving("vllm") as server:
        adapter = decodekit.Session(remote(server, top=5)).adapter
        assert adapter.info.most == ALL
        (answer,) = adapter.predict([Prefix(b"the cat")], Disclosure(5, ids=tuple(range(125))))
        assert isinstance(answer, Distribution) and answer.tail is None
        adapter.close()


def test_lists_grow_where_they_are_often_too_short_and_the_tokens_stay_the_same() -> None:
    expected = decoded(NGramAdapter(TEXT, order=4), "plain")
    with serving("vllm") as server:
        few = VLLMDialect()
        few.capabilities = replace(VLLMDialect.capabilities, usual_top=1)
        adapter = remote(server, top=None, dialect=few)
        assert decoded(adapter, "plain") == expected
        assert adapter.measured["top"] > 1
        assert decoded(fixed := remote(server, top=1), "plain") == expected and fixed.measured["top"] == 1


def test_a_longer_list_is_asked_for_one_token_at_a_time() -> None:
    with serving() as server:
        adapter = remote(server, draft=4, top=2)
        assert decoded(adapter, "nucleus") == decoded(NGramAdapter(TEXT, order=4), "nucleus")
        asked = [body for body in server.asked("/completion") if not body.get("logit_bias")]
    longer = [body["n_predict"] for body in asked if 2 < body["n_probs"] < 257]
    assert longer and set(longer) == {1}
    assert 4 in {body["n_predict"] for body in asked if body["n_probs"] == 2}


def test_a_stream_makes_way_for_another_question_about_its_prefix() -> None:
    with serving(pause=0.01) as server:
        adapter = remote(server, draft="stream", top=5)
        session = decodekit.Session(adapter)
        prefix = Prefix(b"the cat")
        session.adapter.predict([prefix])
        assert adapter.measured["streams"] == 1
        (answer,) = session.adapter.predict([prefix], ALL)
        assert isinstance(answer, Distribution) and answer.tail is None and adapter.measured["streams"] == 0
        session.adapter.close()


def test_streams_keep_connections_in_stock_and_show_them_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TABLE_KEY", "secret")
    with serving() as server:
        adapter = remote(server, draft="stream", api_key_env="TABLE_KEY")
        asyncio.run(adapter.connect())
        server.requests.clear()
        with Session(adapter, decodekit.Chain(CHAINS["plain"]), seed=1) as session:
            session.generate("the cat ", max_tokens=20)
        streams = [headers for path, headers, body in server.requests if body is not None and body["stream"]]
        spares = [headers for path, headers, _ in server.requests if path == "/v1/models"]
    assert len(streams) > 1 and len(spares) >= 2
    assert all("authorization" in headers for headers in streams)
    assert not any("authorization" in headers for headers in spares)


def test_everything_is_dense_where_the_server_lists_everything() -> None:
    with serving() as server:
        adapter = decodekit.Session(remote(server)).adapter
        (answer,) = adapter.predict([Prefix(b"the")], ALL)
        assert isinstance(answer, Distribution) and answer.token_ids is None and answer.origin == "logprobs"
        adapter.close()


@pytest.mark.parametrize(
    ("dialect", "draft"), [("llama_server", 4), ("llama_server", "stream"), ("vllm", 1), ("vllm", 4)]
)
def test_it_keeps_the_contract_of_an_adapter(dialect: str, draft: int | str) -> None:
    with serving(dialect, context=700) as server:
        make: Callable[[], Any] = lambda: remote(server, draft=draft)  # noqa: E731 - a type for check_adapter
        report = check_adapter(make, prompts=PROMPTS, many=20, rounds=6, lengths=(64,))
        assert report.questions > 100


def test_a_run_goes_on_from_its_trace_by_the_command(tmp_path: Path) -> None:
    testing = pytest.importorskip("typer.testing")
    from decodekit.cli import app as commands

    def run(*arguments: str) -> str:
        done = testing.CliRunner().invoke(commands.app, list(arguments))
        assert done.exit_code == 0 and "fault" not in done.stderr, done.stderr
        return str(done.stdout)

    first, whole = str(tmp_path / "first.jsonl"), str(tmp_path / "whole.jsonl")
    with serving() as server:
        model = ["--adapter", "remote", "--set", f"base_url={server.url}"]
        expected = run("generate", "the cat ", *model, "--seed", "3", "--max-tokens", "20")
        run("generate", "the cat ", *model, "--seed", "3", "--max-tokens", "8", "--trace", first)
        assert run("resume", first, *model, "--max-tokens", "20", "--trace", whole) == expected
    assert "proved" in run("verify", whole)
