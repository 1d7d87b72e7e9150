"""llama-cpp-python's own server on loopback, against the same model in process; -m real_server for the long tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx")
pytest.importorskip("llama_cpp")
pytest.importorskip("fastapi")
pytest.importorskip("starlette_context")

import decodekit
from decodekit import Distribution, Session, read_trace, replay
from decodekit.session.prompts import as_prefix
from tests.adapters.conftest import MODEL, model_path
from tests.adapters.remote.real import answering, free_port

PROMPTS = ["The capital of France is", "Once upon a time", "Water is made of"]
CHAIN = [decodekit.processor("top_k", top_k=10), decodekit.processor("temperature", temperature=0.8)]
ROUNDING = 1e-5  # nats: the server takes the softmax in float32; 5e-7 was measured
BF16 = "30"  # as ggml numbers types


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Started with the flash attention and the cache types of the adapter in process, which make the same values."""
    port = free_port()
    command = [sys.executable, "-m", "llama_cpp.server", "--model", model_path(), "--port", str(port)]
    command += ["--host", "127.0.0.1", "--n_ctx", "512", "--n_threads", "1", "--n_threads_batch", "1"]
    command += ["--flash_attn", "true", "--type_k", BF16]
    with answering(command, f"http://127.0.0.1:{port}") as url:
        yield url


@pytest.fixture(scope="module")
def local() -> Iterator[Any]:
    adapter = decodekit.adapter("llamacpp", model=MODEL, n_ctx=512, n_threads=1)
    yield adapter
    adapter.close()


def remote(server: str, **params: Any) -> Any:
    return decodekit.adapter("remote", base_url=server, tokenizer=MODEL, **params)


@pytest.mark.real_model
def test_the_values_are_those_of_the_model_in_process(server: str, local: Any) -> None:
    adapter = remote(server, draft=1)
    assert adapter.capabilities["dialect"] == "llama_cpp_python" and adapter.info.stage == "raw"
    with Session(adapter) as session:
        for prompt in PROMPTS:
            prefix = as_prefix(session.adapter, prompt)
            (there,), (here,) = session.adapter.predict([prefix]), local.predict([prefix])
            assert isinstance(there, Distribution) and there.token_ids is not None and len(there.token_ids) >= 15
            assert max(abs(there.logprob(int(i)) - here.logprob(int(i))) for i in there.token_ids) < ROUNDING


def assert_equal_draws(server: str, local: Any, path: Path, tokens: int, draft: int) -> int:
    """Every token is that of the model in process after the same tokens; returns how many there were.

    Left out are steps where the tail was given up, and those whose text the server tokenised another way: it
    continued another sequence there, which the record says.
    """
    with Session(remote(server, draft=draft), decodekit.Chain(CHAIN), seed=7, on_undisclosed="truncate") as session:
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
def test_sampled_tokens_are_those_of_the_model_in_process(server: str, local: Any, tmp_path: Path) -> None:
    assert assert_equal_draws(server, local, tmp_path / "trace.jsonl", 6, 1) >= 9


@pytest.mark.real_server
@pytest.mark.parametrize("draft", [1, 4])
def test_long_samples_are_those_of_the_model_in_process(server: str, local: Any, tmp_path: Path, draft: int) -> None:
    assert assert_equal_draws(server, local, tmp_path / "trace.jsonl", 64, draft) >= 96
