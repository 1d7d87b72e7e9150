"""What the first words with a server find out, and how doctor shows it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

pytest.importorskip("httpx")

import decodekit
from decodekit import Session
from decodekit.errors import ConfigError, ProviderError, UnknownPlugin
from decodekit.plugin.registry import define_group
from decodekit.testing import BytesTokenizer
from decodekit_remote import RemoteAdapter
from tests.adapters.remote.recorded import playing
from tests.adapters.remote.servers import TableServer, serving


@pytest.mark.parametrize("dialect", ["llama_server", "vllm"])
def test_auto_finds_the_dialect_and_says_so(dialect: str) -> None:
    with serving(dialect) as server:
        adapter = decodekit.adapter("remote", base_url=f"{server.url}/v1/")
        assert adapter.capabilities["dialect"] == dialect and adapter.capabilities["known"] == "seen in a probe"
        info = adapter.info
        assert (info.vocab_size, info.model, info.stage, info.origin) == (257, "table", "raw", "logprobs")
        # What is drawn at random may be half a character, which has no list there: so it is forced.
        probes = server.asked("/completion")
        assert all(body["logit_bias"] for body in probes) and bool(probes) == (dialect == "llama_server")
        assert info.context_length == 1023 and info.most.kind == "all" and info.versions["dialect"] == dialect


def test_a_broken_third_party_dialect_does_not_block_the_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def leaves() -> None:
        raise SystemExit(5)

    # The first by name.
    monkeypatch.setitem(define_group("dialects", "dialect").registered, "a_broken_one", leaves)
    with serving("vllm") as server:
        assert decodekit.adapter("remote", base_url=server.url).capabilities["dialect"] == "vllm"
    assert "dialect skipped" in caplog.text
    with pytest.raises(ConfigError, match="a_broken_one"):
        decodekit.adapter("remote", base_url="http://127.0.0.1:9", dialect="a_broken_one")


@pytest.mark.parametrize("dialect", ["llama_server", "vllm"])
def test_values_taken_after_temperature_are_not_called_raw(dialect: str) -> None:
    with serving(dialect) as server:
        server.after_temperature = True
        adapter = RemoteAdapter(base_url=server.url, tokenizer=BytesTokenizer())
        assert adapter.info.stage == "processed"
        with Session(adapter, decodekit.Chain(), seed=1) as session:
            steps = list(session.stream("the ", max_tokens=3))
        assert len(steps) == 3
        assert server.requests[-1][2]["temperature"] == 1.0  # the values at 1 are at least the model's own


def test_without_a_probe_nothing_is_asked_and_everything_is_as_declared() -> None:
    adapter = RemoteAdapter(base_url="http://nowhere.invalid", dialect="vllm", probe=False)
    capabilities = adapter.capabilities
    assert capabilities["known"] == "as declared by the dialect"
    assert capabilities["whole_vocabulary"] is False and capabilities["named_ids"] == 128


def test_a_server_that_lists_less_than_it_was_asked_for_is_known_by_what_it_listed() -> None:
    with serving("vllm") as server:
        table = TableServer.complete

        def at_most_three(self: TableServer, body: Any) -> Any:
            if body["logprobs"] == -1:
                raise ValueError("no")
            return table(self, {**body, "logprobs": min(body["logprobs"], 3)})

        server.complete = at_most_three.__get__(server)  # type: ignore[method-assign]
        adapter = RemoteAdapter(base_url=server.url)
        assert adapter.capabilities["most_top"] in (3, 4) and adapter.capabilities["whole_vocabulary"] is False


def test_a_server_without_logprobs_can_only_draw() -> None:
    transport = playing("llama_server", "v1_chat_top_logprobs0", "models")
    adapter = RemoteAdapter(base_url="http://host", dialect="openai_chat", transport=transport)
    asyncio.run(adapter.connect())
    assert adapter.must_draw(1) == "openai_chat: this API gives no logprobs, so it shows no distribution"


@pytest.mark.parametrize("way", ["without", "ended"])
@pytest.mark.parametrize("lacking", [(1,), (2,), (1, 2), (1, 2, 3)])
def test_a_few_answers_without_a_list_prove_nothing_of_the_server(lacking: tuple[int, ...], way: str) -> None:
    """What is drawn at random may be half a character, which has no list, or the end."""
    with serving("openai_chat") as server:
        chat = server.answer

        def by_chance(path: str, body: Any) -> Any:
            answer = chat(path, body)
            if path.endswith("completions") and len(server.asked(path)) in lacking:
                (choice,) = answer["choices"]
                choice |= {"logprobs": None, "finish_reason": "stop" if way == "ended" else "length"}
                choice["message"] = {"role": "assistant", "content": "" if way == "ended" else "\ufffd"}
            return answer

        server.answer = by_chance  # type: ignore[method-assign]
        adapter = RemoteAdapter(base_url=server.url, dialect="openai_chat")
        known = adapter.capabilities
        stage = "raw" if len(lacking) < 3 else "unknown"  # of a list of several tokens no second one is asked for
        assert (known["draws_only"], known["most_top"], adapter.info.stage) == ("", 20, stage)
        temperatures = [body["temperature"] for body in server.asked("/v1/chat/completions")]
    assert len(temperatures) == len(lacking) + (2 if lacking != (1, 2, 3) else 1)


def test_a_second_list_that_never_comes_leaves_the_values_unknown_and_the_first_list_known() -> None:
    with serving("openai_chat") as server:
        chat = server.answer

        def never_hot(path: str, body: Any) -> Any:
            answer = chat(path, body)
            if body and body.get("temperature") == 2.0:
                answer["choices"][0]["logprobs"] = None
            return answer

        server.answer = never_hot  # type: ignore[method-assign]
        adapter = RemoteAdapter(base_url=server.url, dialect="openai_chat")
        assert (adapter.capabilities["draws_only"], adapter.info.stage) == ("", "unknown")


def test_an_unknown_dialect_is_told_with_what_there_is() -> None:
    with pytest.raises(UnknownPlugin, match="did you mean 'vllm'"):
        RemoteAdapter(base_url="http://host", dialect="vlm")


def test_a_hole_in_mid_character_is_healed_by_forcing_a_token() -> None:
    """llama-server sends no list for a token inside a character; a forced token brings it."""
    with serving() as server:
        make = TableServer.llama

        def with_holes(self: TableServer, prompt: list[int], body: Any, index: int) -> Any:
            answer = make(self, prompt, body, index)
            if not body.get("logit_bias"):
                answer["completion_probabilities"] = []
            return answer

        server.llama = with_holes.__get__(server)  # type: ignore[method-assign]
        adapter = RemoteAdapter(base_url=server.url, dialect="llama_server", probe=False, draft=4)
        with pytest.raises(ProviderError, match="without a list"):
            Session(adapter).generate([1, 2], max_tokens=1)  # unmet, it is not known what to force
        server.llama = make.__get__(server)  # type: ignore[method-assign]
        adapter = RemoteAdapter(base_url=server.url, tokenizer=BytesTokenizer(), draft=4)
        server.llama = with_holes.__get__(server)  # type: ignore[method-assign]
        with Session(adapter, decodekit.Chain(sampler="greedy")) as session:
            healed = session.generate("the ", max_tokens=8).token_ids
        assert adapter.measured["drafted"] == 0  # a token that was forced is no guess
        server.llama = make.__get__(server)  # type: ignore[method-assign]
        with Session(
            RemoteAdapter(base_url=server.url, tokenizer=BytesTokenizer()), decodekit.Chain(sampler="greedy")
        ) as session:
            assert session.generate("the ", max_tokens=8).token_ids == healed


def test_doctor_shows_what_the_server_can_do() -> None:
    testing = pytest.importorskip("typer.testing")
    from decodekit.cli import app as commands

    with serving("vllm") as server:
        arguments = ["doctor", "--adapter", "remote", "--set", f"base_url={server.url}"]
        shown = testing.CliRunner().invoke(commands.app, arguments)
        told = testing.CliRunner().invoke(commands.app, [*arguments, "--json"])
    assert "  prefill" in shown.stdout and "cannot" not in shown.stderr
    capabilities = json.loads(told.stdout)["adapter"]["info"]["capabilities"]
    assert capabilities["dialect"] == "vllm" and capabilities["echo"] is True and capabilities["forces"] is False
