"""Servers whose operator has set sampling defaults: what a request does not say is theirs, and not the chain's."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest

from decodekit import Chain, Context, Prefix, Session
from decodekit.errors import ParameterError
from decodekit.testing import NGramAdapter
from decodekit_remote import RemoteAdapter
from decodekit_remote.dialect import Request
from decodekit_remote.probing import dialect_named
from tests.adapters.remote.operators import PLAIN, llama_law
from tests.adapters.remote.servers import TEXT, TalkingTokenizer, serving

ASKED: Any = [{"role": "user", "content": "what sat on the"}]
HOSTILE: dict[str, dict[str, Any]] = {
    "mirostat": {"mirostat": 2, "mirostat_tau": 0.5},
    "a temperature that moves": {"dynatemp_range": 0.6},
    "penalties": {"repeat_penalty": 1.7, "frequency_penalty": 0.7, "presence_penalty": 1.5},
    "cuts": {"top_k": 2, "top_p": 0.4, "min_p": 0.6, "min_keep": 5},
    "a bias": {"logit_bias": {32: 5.0}, "ignore_eos": True},
    "other samplers": {"samplers": ["dry", "top_n_sigma", "xtc", "adaptive_p", "penalties", "temperature"]},
}
CHAINS = [
    "provider",
    "temperature=0.8 top_p=0.95 provider",
    "top_k=40 min_p=0.02 temperature=1.3 provider",
    "presence_penalty(presence_penalty=0.5,scope='both',window=64) temperature=0.7 provider",
    "temperature=0 provider",
]


@pytest.mark.parametrize("set_by_operator", HOSTILE)
def test_no_default_of_a_llama_server_is_left_on(set_by_operator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = NGramAdapter(TEXT, order=4)
    prompt = TalkingTokenizer().encode_messages(ASKED)
    laws: list[np.ndarray] = []

    def drawn(server: Any, prompt: Any, body: Any) -> Any:
        said, ids, tokens = {**PLAIN, **HOSTILE[set_by_operator], **body}, list(prompt), []
        for _ in range(body["max_tokens"]):
            laws.append(llama_law(server.row(ids), ids, said))
            chosen = int(server.chance.choice(257, p=laws[-1]))
            if chosen == 256:
                return tokens, "stop"
            tokens.append((server.row(ids), chosen))
            ids.append(chosen)
        return tokens, "length"

    monkeypatch.setattr("tests.adapters.remote.servers.next_tokens", drawn)
    with serving("openai_chat") as server:
        server.owner = "llamacpp"
        adapter = RemoteAdapter(base_url=server.url, dialect="openai_chat", tokenizer=TalkingTokenizer())
        for text in CHAINS:
            laws.clear()
            chain = Chain.of(text)
            with Session(adapter, chain, seed=1) as session:
                result = session.generate(ASKED, max_tokens=4)
            assert result.trace.header.adapter["drawing"]["engine"] == "llama.cpp" and laws
            for i, law in enumerate(laws):
                (raw,) = model.predict([Prefix([*prompt, *result.token_ids[:i]])])
                states = Context(tuple(prompt), result.token_ids[:i])
                ours = np.exp(chain.apply(raw, states).logprobs_of(range(257)))  # type: ignore[arg-type]
                np.testing.assert_allclose(law, ours, atol=1e-9, err_msg=text)


def test_a_grammar_of_the_operator_is_refused_where_the_server_draws() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/models":
            return httpx.Response(200, json={"data": [{"id": "m", "owned_by": "llamacpp"}]})
        assert request.url.path == "/completion"
        return httpx.Response(200, json={"content": "a", "generation_settings": {"grammar": "root ::= [a-z]*"}})

    transport = httpx.MockTransport(answer)
    adapter = RemoteAdapter(base_url="http://host", dialect="openai_responses", engine="llama.cpp", transport=transport)
    refused = pytest.raises(ParameterError, match=r"started with a grammar.*llama_server")
    with Session(adapter, Chain.of("provider")) as session, refused:
        session.generate(ASKED, max_tokens=3)


@pytest.mark.parametrize("dialect", ["openai_responses", "anthropic_messages"])
def test_an_api_of_two_parameters_in_front_of_a_known_program_is_refused(dialect: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path in ("/v1/models", "/completion")
        owned = {"data": [{"id": "m", "owned_by": "llamacpp"}]}
        return httpx.Response(200, json=owned) if request.url.path == "/v1/models" else httpx.Response(404, json={})

    adapter = RemoteAdapter(base_url="http://host", dialect=dialect, transport=httpx.MockTransport(answer))
    refused = pytest.raises(ParameterError, match=r"this server is llama.cpp, which may have a top_k.*openai_chat")
    with Session(adapter, Chain.of("temperature=0.5")) as session, refused:
        session.generate(ASKED, max_tokens=3)


@pytest.mark.parametrize(("dialect", "where"), [("vllm", None), ("sglang", "sampling_params")])
def test_lists_of_processed_values_do_not_feel_the_operators_settings(dialect: str, where: str | None) -> None:
    """Those of ``--override-generation-config`` (vLLM) and ``--preferred-sampling-params`` (SGLang)."""
    operators = {"top_k": 20, "top_p": 0.8, "min_p": 0.1, "repetition_penalty": 1.05}
    neutral = {"top_k": -1, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0}
    _, body = dialect_named(dialect).request(Request(((1, 2),), top=5, temperature=1.0))
    said = {**operators, **(body[where] if where else body)}
    assert {name: said[name] for name in operators} == neutral
