"""Tokens that a text-keyed list does not name, and conversations, at llama-cpp-python's own server."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

pytest.importorskip("httpx")
pytest.importorskip("llama_cpp")
pytest.importorskip("fastapi")
pytest.importorskip("starlette_context")

import decodekit
from decodekit import Disclosure, Distribution, Prefix, Session, messages
from tests.adapters.llamacpp.bare_loop import MODEL

PROMPT = "The capital of France is"
CLOSE = 1e-4  # nats: the server takes the softmax in float32


def remote(server: str, **params: Any) -> Any:
    return decodekit.adapter("remote", base_url=server, tokenizer=MODEL, draft=1, **params)


@pytest.mark.real_model
def test_unlikely_texts_are_scored_as_in_process(python_server: str, in_process: Any) -> None:
    with Session(remote(python_server)) as there, Session(in_process) as here:
        for text in (" banana", " dog and the xylophone"):
            scored, expected = there.score(PROMPT, text).logprobs, here.score(PROMPT, text).logprobs
            assert max(abs(a - b) for a, b in zip(scored, expected, strict=True)) < CLOSE, text


@pytest.mark.real_model
def test_many_tokens_by_id_have_their_values(python_server: str, in_process: Any) -> None:
    """With and without a text of their own, and an end of the text."""
    with Session(remote(python_server)) as session:
        prefix = Prefix(session.adapter.tokenizer.encode(PROMPT))
        ids = (2, 60, 190, 1421, 2058, 5290, 21285, 34684)
        (answer,) = session.adapter.predict([prefix], Disclosure(20, ids))
        (whole,) = in_process.predict([prefix], Disclosure(kind="all"))
    assert isinstance(answer, Distribution) and answer.token_ids is not None
    assert set(ids) <= set(answer.token_ids.tolist()) and len(answer.token_ids) < 40
    assert max(abs(answer.logprob(token) - whole.logprob(token)) for token in ids) < 3e-4


@pytest.mark.real_model
@pytest.mark.parametrize("chain", ["", "temperature=0.8"])
def test_plain_sampling_gives_the_tokens_of_the_model_in_process(
    python_server: str, in_process: Any, chain: str
) -> None:
    with Session(remote(python_server), chain, seed=1) as there, Session(in_process, chain, seed=1) as here:
        assert there.generate(PROMPT, max_tokens=2).token_ids == here.generate(PROMPT, max_tokens=2).token_ids


@pytest.mark.real_model
def test_a_bias_on_a_text_before_top_k_is_answered(python_server: str) -> None:
    chain = [decodekit.processor("logit_bias", logit_bias={" Paris": -100.0}), decodekit.processor("top_k", top_k=40)]
    with Session(remote(python_server), chain, seed=7) as session:
        result = session.generate(PROMPT, max_tokens=2)
    assert len(result.token_ids) == 2 and "Paris" not in result.text


@pytest.mark.real_model
def test_a_named_token_is_found_without_a_tokenizer(python_server: str) -> None:
    with Session(decodekit.adapter("remote", base_url=python_server, draft=1)) as session:
        assert session.score(PROMPT, " banana").logprobs[0] < -8


@pytest.mark.real_model
def test_a_conversation_is_sent_as_the_text_of_its_template(python_server: str, in_process: Any) -> None:
    """The server reads the markup of control tokens in a prompt as these tokens."""
    said, chain = messages("Say hi", system="Be brief."), "top_k=5 temperature=0.8"
    begun = [*messages("Say hi"), {"role": "assistant", "content": "Hel"}]
    with Session(remote(python_server), chain, seed=3) as there, Session(in_process, chain, seed=3) as here:
        for prompt in (said, begun):
            assert there.generate(prompt, max_tokens=2).text == here.generate(prompt, max_tokens=2).text
        (verdict,) = [each for each in there.adapter.adapter.fitness() if each.what == "conversations"]
    assert verdict.word == "works"


@pytest.mark.real_model
def test_the_doctor_reports_no_problem_where_the_server_answers(python_server: str) -> None:
    """Without a tokenizer, the same text twice is not two tokens there, which nobody asked for."""
    command = [sys.executable, "-m", "decodekit", "doctor", "--adapter", "remote", "--json"]
    done = subprocess.run([*command, "--set", f"base_url={python_server}"], capture_output=True, check=False)
    assert (done.returncode, json.loads(done.stdout)["problems"]) == (0, [])
