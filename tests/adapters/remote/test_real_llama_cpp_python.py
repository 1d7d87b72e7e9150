"""llama-cpp-python's own server on loopback, against the same model in process; -m real_server for the long tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx")
pytest.importorskip("llama_cpp")
pytest.importorskip("fastapi")
pytest.importorskip("starlette_context")

import decodekit
from decodekit import Distribution, Prefix, Session, read_trace, replay
from decodekit.errors import ProviderError
from decodekit.session.prompts import as_prefix
from tests.adapters.llamacpp.bare_loop import MODEL
from tests.adapters.remote.real import llama_cpp_python

PROMPTS = ["The capital of France is", "Once upon a time", "Water is made of"]
CHAIN = [decodekit.processor("top_k", top_k=10), decodekit.processor("temperature", temperature=0.8)]
ROUNDING = 1e-5  # nats: the server takes the softmax in float32; 5e-7 was measured


def remote(server: str, **params: Any) -> Any:
    return decodekit.adapter("remote", base_url=server, tokenizer=MODEL, **params)


@pytest.mark.real_model
def test_the_values_are_those_of_the_model_in_process(python_server: str, in_process: Any) -> None:
    adapter = remote(python_server, draft=1)
    assert adapter.capabilities["dialect"] == "llama_cpp_python" and adapter.info.stage == "raw"
    with Session(adapter) as session:
        for prompt in PROMPTS:
            prefix = as_prefix(session.adapter, prompt)
            (there,), (here,) = session.adapter.predict([prefix]), in_process.predict([prefix])
            assert isinstance(there, Distribution) and there.token_ids is not None and len(there.token_ids) >= 15
            assert max(abs(there.logprob(int(i)) - here.logprob(int(i))) for i in there.token_ids) < ROUNDING


def assert_equal_draws(server: str, local: Any, path: Path, tokens: int, draft: int) -> int:
    """Every token is that of the model in process after the same tokens; returns how many there were.

    Left out are steps where the tail was given up, and those whose text the server tokenised another way: it
    continued another sequence there, which the record says.
    """
    adapter = remote(server, draft=draft, retokenised="allow")
    with Session(adapter, decodekit.Chain(CHAIN), seed=7, on_undisclosed="truncate") as session:
        session.generate_many(PROMPTS, max_tokens=tokens, trace=path)
    trace = read_trace(path)
    report = replay(trace, adapter=local)
    assert len(report.steps) == tokens * len(PROMPTS)
    drawn = {(again.stream, again.index): again for again in report.steps}
    equal = 0
    for step in trace.steps:
        if "retokenised_as" in (step.schedule or {}) or any(entry.gave_up is not None for entry in step.entries):
            continue
        again = drawn[step.stream, step.index]
        assert again.replayed == step.token_id and again.drift < ROUNDING, f"{again}"
        equal += 1
    return equal


@pytest.mark.real_model
def test_sampled_tokens_are_those_of_the_model_in_process(python_server: str, in_process: Any, tmp_path: Path) -> None:
    assert assert_equal_draws(python_server, in_process, tmp_path / "trace.jsonl", 6, 1) >= 9


@pytest.mark.real_server
@pytest.mark.parametrize("draft", [1, 4])
def test_long_samples_are_those_of_the_model_in_process(
    python_server: str, in_process: Any, tmp_path: Path, draft: int
) -> None:
    assert assert_equal_draws(python_server, in_process, tmp_path / "trace.jsonl", 64, draft) >= 96


@pytest.mark.real_model
@pytest.mark.parametrize("dialect", ["openai_completions", "openai_chat"])
def test_what_the_server_draws_is_recorded_as_it_drew(python_server: str, in_process: Any, dialect: str) -> None:
    """At temperature 0 it draws what the model in process does; its own defaults, such as min_p, play no part."""
    adapter = decodekit.adapter("remote", base_url=python_server, dialect=dialect)
    with Session(adapter, "top_k=40 temperature=0 provider") as session:
        result = session.generate(PROMPTS[0], max_tokens=10)
        hot = session.generate(
            PROMPTS[0], max_tokens=10, chain=decodekit.Chain.of("min_p=0.1 temperature=0.7 provider")
        )
    drawing = result.trace.header.adapter["drawing"]
    assert (drawing["engine"], drawing["known"]) == ("llama-cpp-python", "named by the server")
    assert [step.choice.rank for step in result.trace.steps] == [0] * 10 and 0 < len(hot.token_ids) <= 10
    assert decodekit.verify(hot.trace).word == "consistent"
    if dialect == "openai_completions":
        with Session(in_process, "greedy") as session:
            assert result.text == session.generate(PROMPTS[0], max_tokens=10).text


@pytest.mark.real_model
def test_a_vocabulary_with_a_space_in_front_has_it_once(tmp_path: Path) -> None:
    """As Llama 2 and Mistral 7B have it: the server writes it itself, and a prompt without it cannot be sent."""
    pytest.importorskip("gguf")
    from tests.families import gguf_file

    model = str(gguf_file("legacy.gguf"))
    local = decodekit.adapter("llamacpp", model=model, n_ctx=64, n_threads=1)
    with (
        llama_cpp_python(model, "--n_ctx", "64") as url,
        Session(decodekit.adapter("remote", base_url=url, tokenizer=model, draft=1)) as session,
    ):
        for text in ("hi", " hi", "hello the cat"):
            prefix = as_prefix(session.adapter, text)
            (there,), (here,) = session.adapter.predict([prefix]), local.predict([prefix])
            assert prefix == as_prefix(local, text) and isinstance(there, Distribution), there
            assert "retokenised_as" not in there.schedule and there.token_ids is not None
            assert max(abs(there.logprob(int(i)) - here.logprob(int(i))) for i in there.token_ids) < 0.05
        bare = Prefix([local.tokenizer.bos_id, *local.tokenizer.encode("hi")])
        (refused,) = session.adapter.predict([bare])
        assert isinstance(refused, ProviderError) and "retokenises the text" in str(refused)
    local.close()
