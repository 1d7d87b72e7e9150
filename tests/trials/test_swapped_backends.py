"""The backend is exchanged in one part of one configuration. What cannot be done with a backend is refused by name."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx")
pytest.importorskip("typer")

from decodekit import ParameterError, Session, Undisclosed
from tests.adapters.llamacpp.bare_loop import MODEL, model_path
from tests.adapters.remote.real import BF16, answering, free_port, llama_cpp_python
from tests.adapters.remote.servers import TableServer, serving
from tests.trials.swapped import PROMPT, Swapped, scored, tried

LOCAL = {"type": "llamacpp", "model": MODEL, "n_ctx": 256, "n_threads": 1}
LLAMA_SERVER = os.environ.get("DECODEKIT_LLAMA_SERVER") or shutil.which("llama-server")
VLLM = os.environ.get("DECODEKIT_VLLM", "")


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Swapped:
    """The model in this process, which the others are compared with."""
    pytest.importorskip("llama_cpp")
    return tried(tmp_path_factory.mktemp("llamacpp"), LOCAL)


@pytest.mark.real_model
def test_llama_cpp_in_this_process(local: Swapped) -> None:
    assert (local.refused, local.verdict, local.draws) == ("", "proved", "decodekit")
    assert local.verdicts["the draw"]["word"] == "works" and local.result["text"].startswith(" Paris")
    paris, berlin = scored(local.folder, [" Paris", " Berlin"])
    assert berlin < paris < 0


@pytest.mark.real_model
def test_a_transformers_folder(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from tests.families import folder

    found = tried(tmp_path, {"type": "torch", "model": str(folder("tiktoken"))})
    assert (found.refused, found.verdict, found.draws) == ("", "proved", "decodekit")
    assert max(scored(tmp_path, [" Paris", "cat"])) < 0


@pytest.mark.real_model
def test_the_server_of_llama_cpp_python(local: Swapped, tmp_path: Path) -> None:
    """What is given is what the model in this process gives; a score may be refused by name."""
    pytest.importorskip("fastapi")
    pytest.importorskip("starlette_context")
    from tests.adapters.remote.test_real_llama_cpp_python import ROUNDING

    with llama_cpp_python(model_path(), "--n_ctx", "256", "--flash_attn", "true", "--type_k", BF16) as url:
        found = tried(tmp_path, {"type": "remote", "base_url": url, "tokenizer": MODEL})
        assert found.draws == "decodekit" and found.result["token_ids"] == local.result["token_ids"]
        here = scored(local.folder, [" Paris"])
        try:
            there = scored(tmp_path, [" Paris"])
        except Undisclosed as error:
            there, refused = here, str(error)
            assert all(word in refused for word in ('(" Paris")', "llama_cpp_python", "at most"))
        assert there == pytest.approx(here, abs=ROUNDING)


def chat(server: TableServer, folder: Path) -> Swapped:
    return tried(folder, {"type": "remote", "base_url": server.url})


def test_a_chat_that_can_do_nothing_but_chat_draws_itself(tmp_path: Path) -> None:
    with serving("openai_chat") as server:
        found = chat(server, tmp_path)
        assert (found.refused, found.verdict, found.draws) == ("", "consistent", "provider")
        assert found.verdicts["the draw"]["word"] == "works but" and found.verdicts["continuing an answer"]["remedy"]
        (asked,) = [body for body in server.asked("/v1/chat/completions") if body.get("seed") == 7][-1:]
        assert (asked["temperature"], asked["top_p"], asked["max_tokens"]) == (0.8, 0.95, 6)
        assert scored(tmp_path, ["e"])[0] < 0  # a token that the server lists
        with pytest.raises(Undisclosed, match=r'\("zebra"\).*at most .* nats\. Without the server\'s tokenizer'):
            scored(tmp_path, ["zebra"])


@pytest.mark.parametrize(("options", "message"), [
    ({"chain": "top_k=5"}, "the provider cannot apply 'top_k' of this chain: openai has no such parameter"),
    ({"chain": "top_p=0.9 temperature=0.8"}, "'top_p' of this chain: it comes before temperature"),
    ({"ban": ["cat"]}, "ban goes back and draws again, which a provider that draws cannot do; use stop"),
    ({"guesser": "prompt_lookup"}, "guesser: where the provider draws there is nothing to guess"),
])  # fmt: skip
def test_what_a_bare_chat_cannot_do_is_refused_by_name(options: dict[str, Any], message: str) -> None:
    with serving("openai_chat") as server:
        server.gives_logprobs = False
        with Session.from_config({"adapter": {"type": "remote", "base_url": server.url}}) as session:
            assert len(session.generate(PROMPT, max_tokens=2).text) == 2
            with pytest.raises(ParameterError, match=message):
                session.generate(PROMPT, max_tokens=2, **options)
            with pytest.raises(ParameterError, match=r"gives no logprobs"):
                session.score(PROMPT, " Paris")
            with pytest.raises(ParameterError, match="name its tokenizer= to count them"):
                session.count_tokens(PROMPT)


@pytest.fixture(scope="module")
def llama_server() -> Iterator[str]:
    if LLAMA_SERVER is None:
        pytest.skip("there is no llama-server on the PATH, and DECODEKIT_LLAMA_SERVER names none")
    port = free_port()
    command = [LLAMA_SERVER, "-m", model_path(), "--host", "127.0.0.1", "--port", str(port), "-c", "256", "-np", "1"]
    with answering([*command, "-t", "1", "-fa", "on", "-ctk", "bf16"], f"http://127.0.0.1:{port}") as url:
        yield url


@pytest.mark.real_server
def test_llama_server(llama_server: str, local: Swapped, tmp_path: Path) -> None:
    found = tried(tmp_path, {"type": "remote", "base_url": llama_server})
    assert (found.refused, found.verdict, found.draws) == ("", "proved", "decodekit")
    assert found.result["token_ids"] == local.result["token_ids"]
    assert scored(tmp_path, [" Paris"]) == pytest.approx(scored(local.folder, [" Paris"]), abs=1e-3)


@pytest.mark.real_server
@pytest.mark.skipif(not VLLM, reason="DECODEKIT_VLLM does not say where a server is")
def test_vllm(tmp_path: Path) -> None:
    found = tried(tmp_path, {"type": "remote", "base_url": VLLM})
    assert (found.refused, found.verdict, found.draws) == ("", "proved", "decodekit")
    paris, berlin = scored(tmp_path, [" Paris", " Berlin"])
    assert berlin < paris < 0
