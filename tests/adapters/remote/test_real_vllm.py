"""A real vLLM with SmolLM2-135M-Instruct in float32. Opt in with -m real_server; DECODEKIT_VLLM is its address.

Its batches and its cache move logits by rounding, so tokens are held to be equal up to a first difference that lies
inside the margin. The figures in docs/remote.md come from vLLM 0.32 on a CPU, with --max-logprobs -1.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

pytest.importorskip("httpx")
pytest.importorskip("transformers")

import decodekit
from decodekit.model.adapter import Adapter
from decodekit.model.asking import blocking
from decodekit.testing import check_adapter
from tests.adapters.llamacpp.bare_loop import MODEL
from tests.adapters.remote.real import CHAINS, DRAFTS, PROMPTS, decoded, explained

URL = os.environ.get("DECODEKIT_VLLM", "")
TOKENS = 42  # times 8 prompts, 3 chains and 5 drafts: 5,040 positions

pytestmark = [
    pytest.mark.real_server,
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not URL, reason="DECODEKIT_VLLM does not say where a server is"),
]


@pytest.fixture(scope="module")
def local() -> Iterator[Adapter]:
    """The same weights in process, by transformers."""
    adapter = decodekit.adapter("torch", model=MODEL, dtype="float32")
    yield adapter
    adapter.close()


def test_check_adapter_passes() -> None:
    """4e-5 nats were seen: another batch, another order of sums."""
    report = check_adapter(lambda: decodekit.adapter("remote", base_url=URL), exact=False, tolerance=1e-3, many=12)
    print(report)


@pytest.mark.parametrize("chain", CHAINS)
def test_every_token_is_that_of_any_draft_and_of_the_model_in_process_up_to_the_margin(
    local: Adapter, chain: str
) -> None:
    expected = decoded(local, chain, tokens=TOKENS)
    positions = 0
    for draft in DRAFTS:
        there = blocking(decodekit.adapter("remote", base_url=URL, tokenizer=local.tokenizer, draft=draft))
        equal, different = explained(there, local, chain, decoded(there, chain, tokens=TOKENS), expected)
        print(f"{chain}, draft {draft}: {equal} positions equal, {different} of {len(PROMPTS)} sequences differ")
        positions += equal
        there.close()
    assert positions > 0.9 * len(DRAFTS) * sum(map(len, expected))


@pytest.mark.parametrize("chain", ["temperature=0", "temperature=0.7 top_p=0.9", "temperature=1.5"])
def test_lists_of_twenty_complete_a_json_document(chain: str) -> None:
    """The tokens that the grammar allows and the draw could choose are asked for by id, no more than a few hundred."""
    pytest.importorskip("llguidance")
    person = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer"}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    with decodekit.open(URL, chain, tokenizer=MODEL) as session:
        result = session.generate("Describe a person as JSON: ", schema=person, max_tokens=80, seed=3)
    assert result.complete and set(result.parsed) == {"name", "age"}
    assert max(step.raw.disclosed for step in result.trace.steps) < 2000
    assert decodekit.verify(result.trace).word == "proved"
