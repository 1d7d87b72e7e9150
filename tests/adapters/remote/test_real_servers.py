"""Real servers on loopback, against the same model in process. Opt in with -m real_server."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("httpx")
pytest.importorskip("llama_cpp")

import decodekit
from decodekit import Distribution, Session
from decodekit.prompts import as_prefix
from tests.adapters.conftest import MODEL, model_path

pytestmark = pytest.mark.real_server

PROMPTS = ["The capital of France is", "Once upon a time", "Water is made of"]
DRIFT = 0.5  # nats, in the top 20: one library, but other cache types and other rows per pass; 0.30 was measured
DRIFT_OF_THE_LIKELIEST = 0.15


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """llama-cpp-python's own server."""
    pytest.importorskip("fastapi")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "llama_cpp.server", "--model", model_path(), "--port", str(port)]
    command += ["--host", "127.0.0.1", "--n_ctx", "512", "--n_threads", "1", "--n_threads_batch", "1"]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    for _ in range(120):
        try:
            urllib.request.urlopen(f"{url}/v1/models", timeout=2).close()
            break
        except OSError:
            assert running.poll() is None, "the server did not start: is llama-cpp-python[server] installed?"
            time.sleep(0.5)
    yield url
    running.terminate()
    running.wait(10)


@pytest.fixture(scope="module")
def local() -> Iterator[Any]:
    adapter = decodekit.adapter("llamacpp", model=MODEL, n_ctx=512, n_threads=1)
    yield adapter
    adapter.close()


def test_the_values_are_those_of_the_model_in_process(server: str, local: Any) -> None:
    adapter = decodekit.adapter("remote", base_url=server, tokenizer=MODEL, draft=1)
    assert adapter.capabilities["dialect"] == "llama_cpp_python" and adapter.info.stage == "raw"
    with Session(adapter) as session:
        for prompt in PROMPTS:
            prefix = as_prefix(session.adapter, prompt)
            (there,), (here,) = session.adapter.predict([prefix]), local.predict([prefix])
            assert isinstance(there, Distribution) and there.token_ids is not None
            shown = [abs(there.logprob(int(token)) - here.logprob(int(token))) for token in there.token_ids]
            assert max(shown) < DRIFT and shown[0] < DRIFT_OF_THE_LIKELIEST


def test_sampled_tokens_are_those_of_the_model_in_process_up_to_the_margin(server: str, local: Any) -> None:
    chain = [decodekit.processor("temperature", temperature=0.7), decodekit.processor("top_p", top_p=0.9)]
    equal = 0
    for stream, prompt in enumerate(PROMPTS):
        with Session(local, decodekit.Chain(chain), seed=7) as session:
            expected = session.generate(prompt, max_tokens=24, stream=stream).token_ids
        adapter = decodekit.adapter("remote", base_url=server, tokenizer=MODEL, draft=4)
        with Session(adapter, decodekit.Chain(chain), seed=7, on_undisclosed="truncate") as session:
            steps = list(session.stream(prompt, max_tokens=24, stream=stream))
        for step, token in zip(steps, expected, strict=False):
            if step.token_id != token:
                gave_up = any(entry.gave_up for entry in step.entries)
                assert gave_up or step.choice.margin < 2 * DRIFT / 0.7, f"{prompt!r} differs at step {step.index}"
                break
            equal += 1
    assert equal >= 12
