"""The adapter over recorded bodies: answers and refusals, conversations, tokenizers, texts."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

pytest.importorskip("httpx")

from decodekit import Distribution, Prefix
from decodekit.errors import (
    ContextOverflow,
    DecodekitError,
    ModelNotFound,
    ParameterError,
    ProviderError,
)
from decodekit.testing import BytesTokenizer, PiecesTokenizer
from decodekit_remote import Position, RemoteAdapter, Request
from decodekit_remote.dialects.llama_server import LlamaServerDialect
from decodekit_remote.dialects.vllm import VLLMDialect
from decodekit_remote.list_distribution import distribution
from decodekit_remote.server_tokenizer import ServerTokenizer
from tests.adapters.remote.recorded import bodies, playing

PARIS = (504, 3575, 282, 4649, 314)


def played(server: str, name: str, *others: str, **params: Any) -> RemoteAdapter:
    return RemoteAdapter(
        base_url="http://host/v1",
        dialect=params.pop("dialect", server),
        probe=False,
        transport=playing(server, name, *others),
        **params,
    )


def ask(adapter: RemoteAdapter, prefix: Prefix) -> Any:
    async def asked() -> Any:
        try:
            return (await adapter.apredict([prefix]))[0]
        finally:
            await adapter.aclose()

    return asyncio.run(asked())


def test_a_recorded_answer_becomes_a_head_with_its_tail() -> None:
    answer = ask(played("vllm", "completion_ids_top5", model="smol", top=5, draft=1), Prefix(PARIS))
    assert isinstance(answer, Distribution) and answer.token_ids is not None
    assert answer.token_ids.tolist()[:2] == [7042, 260]
    assert answer.logprob(7042) == -0.25807321071624756 and answer.stage == "raw"
    assert answer.tail is not None and answer.tail.mass_low > 0


@pytest.mark.parametrize(
    ("server", "name", "kind", "words"),
    [
        ("vllm", "error_model", ModelNotFound, "The model `nope` does not exist"),
        ("vllm", "error_context", ContextOverflow, "maximum context length is 1024 tokens"),
        ("vllm", "error_bad_token", ProviderError, "99999999 is out of vocabulary"),
        ("llama_server", "err_context", ContextOverflow, "exceeds the available context size"),
        ("llama_server", "err_ids_out_of_range", ProviderError, "Prompt contains invalid tokens"),
        ("llama_server", "err_route", ProviderError, "File Not Found"),
    ],
)
def test_a_refusal_is_a_typed_error_in_the_servers_own_words(
    server: str, name: str, kind: type[DecodekitError], words: str
) -> None:
    answer = ask(played(server, name), Prefix(PARIS))
    assert isinstance(answer, kind) and words in str(answer) and "http://host/" in str(answer)


def test_a_conversation_goes_on_only_where_the_server_is_known_to_continue_it() -> None:
    adapter = played("vllm", "chat_top5", dialect="openai_chat", model="smol", draft=1)
    assert adapter.tokenizer is not None
    start = Prefix(adapter.tokenizer.encode_messages([{"role": "user", "content": "Say hi"}]))

    async def both() -> tuple[Any, Any, Any]:
        (first,) = await adapter.apredict([start])
        ids = first.token_ids
        (known,) = await adapter.apredict([start.extend([int(ids[0])])])
        (other,) = await adapter.apredict([start.extend([int(ids[1])])])
        await adapter.aclose()
        return first, known, other

    first, known, other = asyncio.run(both())
    assert adapter.tokenizer.token_bytes(first.mode) == b"Hello"
    assert isinstance(known, Distribution)  # the answer had three tokens, and two of them were a gift
    assert isinstance(other, DecodekitError) and "prefill" in str(other)
    assert (
        first.schedule is not None and " there" not in str(first.schedule) and "Hello" in str(first.schedule["tokens"])
    )


def test_vllm_gives_the_ids_that_end_a_text_and_the_bytes_of_a_name() -> None:
    told = bodies("vllm")
    paths = {"/v1/models": {"data": [{"id": "smollm2", "owned_by": "vllm"}]}, "/version": {"version": "0.32.0"}}
    paths |= {"/v1/completions": told["structured_ended"]["body"], "/tokenize": told["tokenize_names"]["body"]}

    async def ask(path: str, body: Any = None) -> Any:
        return paths[path]

    info = asyncio.run(VLLMDialect().greet(ask, None))
    assert info is not None and info.eos_ids == {2}
    tokenizer = ServerTokenizer(VLLMDialect(), lambda path, _: paths[path], info)
    ids = tokenizer.encode("naïve é 😁")
    assert tokenizer.decode(ids) == "naïve é 😁".encode() and tokenizer.token_bytes(ids[-1]) == b"\x81"
    paths["/tokenize"] = told["tokenize_markup"]["body"]
    with pytest.raises(ParameterError, match="as a control token"):
        tokenizer.encode("a <|im_start|>")
    assert tokenizer.encode("a <|im_start|>", special=True)[-1] == 1


def test_texts_name_tokens_through_a_tokenizer_and_control_tokens_are_refused() -> None:
    adapter = played("llama_cpp_python", "completions_logprobs5", tokenizer=BytesTokenizer())
    answer = ask(adapter, Prefix([*b"The capital", 256]))
    assert isinstance(answer, DecodekitError) and "control token" in str(answer)


def test_a_text_that_is_tokenised_another_way_is_an_error_or_noted() -> None:
    pieces = [b"The", b" capital", b" of", b" France", b" is", b" Paris", b" the", b" ", b"is", b" London"]

    def answer(ids: list[int], **params: Any) -> Any:
        tokenizer = PiecesTokenizer(pieces)
        name = "openai_completions"  # which cannot be made to begin an answer
        adapter = played(
            "llama_cpp_python", "completions_logprobs5", dialect=name, tokenizer=tokenizer, top=5, draft=1, **params
        )
        return ask(adapter, Prefix(ids))

    two_parts = [0, 1, 2, 3, 7, 8]  # " is" in two parts
    error = answer(two_parts)
    assert isinstance(error, ProviderError) and "6 tokens here" in str(error) and "'allow'" in str(error)
    assert answer(two_parts, retokenised="allow").schedule["retokenised_as"] == 5
    assert "retokenised_as" not in answer([0, 1, 2, 3, 4], retokenised="allow").schedule


def test_values_far_below_are_probability_zero_for_llama_server() -> None:
    position = Position(1, [0, 1], [-3.4028234663852886e38, 0.0])
    answer = distribution(
        position,
        Request((PARIS,), top=2),
        LlamaServerDialect().capabilities,
        vocabulary=None,
        vocab_size=2,
        stage="raw",
    )
    assert answer.support().tolist() == [1] and np.isneginf(answer.logprob(0))
