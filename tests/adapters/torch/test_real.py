"""SmolLM2 from its GGUF file through torch: against a float64 forward pass, and against llama.cpp."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("llama_cpp")
gguf = pytest.importorskip("gguf")

import torch

import decodekit
from decodekit import Chain, Prefix, Session
from decodekit.testing import check_adapter, check_tokenizer
from decodekit_torch import TorchAdapter
from tests.adapters.torch.models import Oracle

pytestmark = pytest.mark.real_model

ON_A_GPU_TOO = [pytest.param(f"cuda {dtype}", marks=pytest.mark.cuda) for dtype in ("float32", "bfloat16")]

PROMPTS = (
    "The capital of France is",
    "Once upon a time in a small village by the sea",
    "def fibonacci(n):\n    ",
    "The three laws of thermodynamics are",
    "Dear Sir or Madam,",
    "1, 1, 2, 3, 5, 8,",
    "Water boils at",
    "My favourite colour is",
)
DRIFT = {"float32": 2e-4, "bfloat16": 0.8}
"""The largest |dlogp| in nats against float64 over tokens above 1e-6."""


@pytest.fixture(scope="module", params=["cpu float32", *ON_A_GPU_TOO])
def adapter(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Loaded once, and the head of its file read once: transformers reads it three times, seconds of Python each."""
    device, dtype = request.param.split()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with patch.object(gguf, "GGUFReader", cache(gguf.GGUFReader)):
        built = decodekit.adapter("torch", model="smollm2", device=device, dtype=dtype)
    yield built
    built.close()
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def llama() -> Iterator[Any]:
    built = decodekit.adapter("llamacpp", model="smollm2", n_ctx=512, n_threads=1)
    yield built
    built.close()


def dtype_of(adapter: Any) -> str:
    return str(adapter.module.dtype).removeprefix("torch.")


def test_the_capital_of_france_is_paris(adapter: Any) -> None:
    assert Session(adapter, Chain(sampler="greedy")).generate(PROMPTS[0], max_tokens=1).text == " Paris"
    assert adapter.info.context_length == 8192
    assert adapter.info.vocab_size == 49152


def test_file_and_tokenizer_are_those_of_llama_cpp(adapter: Any, llama: Any) -> None:
    assert adapter.info.model_fingerprint == llama.info.model_fingerprint
    check_tokenizer(adapter.tokenizer, vocab_size=49152)
    for text in (*PROMPTS, " naïve 東京 🙂\n\n", "<|im_end|>"):
        for special in (False, True):
            assert adapter.tokenizer.encode(text, special=special) == llama.tokenizer.encode(text, special=special)
    messages = [{"role": "user", "content": "Hi"}]
    assert adapter.tokenizer.encode_messages(messages) == llama.tokenizer.encode_messages(messages)
    assert all(adapter.tokenizer.token_bytes(i) == llama.tokenizer.token_bytes(i) for i in range(49152))


def test_logprobs_are_those_of_a_float64_forward_pass(adapter: Any) -> None:
    oracle = Oracle(adapter.module)
    texts = [Prefix(adapter.tokenizer.encode(prompt)) for prompt in PROMPTS[:3]]
    calls = [
        texts,
        [texts[1].extend([5]), texts[0].extend([9])],
        [Prefix(texts[1].token_ids[:4]), texts[1].extend([6])],
    ]
    worst = 0.0
    for call in calls:
        for prefix, answer in zip(call, adapter.predict(call), strict=True):
            expected = oracle(prefix.token_ids)
            worst = max(worst, float(np.abs(answer.logprobs - expected)[expected > np.log(1e-6)].max()))
    assert 0 < worst < DRIFT[dtype_of(adapter)]


@dataclass
class Meeting:
    """One prompt on two backends with the same seed and chain.

    Attributes:
        tokens: how many were drawn.
        equal: how many are the same before the first that differs.
        agreed: how many the first backend draws alike when it is given the second's past.
        drift: the largest |dlogp| in nats over tokens above 1e-3, on the second backend's path.
        margins: the margin of each step.
        excused: whether the first difference lies where the drift can turn it; None where there is none.
    """

    tokens: int
    equal: int
    agreed: int
    drift: float
    margins: list[float]
    excused: bool | None


def meet(first: Any, second: Any, prompt: str, chain: Chain, *, seed: int, tokens: int) -> Meeting:
    """Run both, then ask the first for every prefix of the second's path."""
    runs = [list(Session(each, chain, seed=seed).stream(prompt, max_tokens=tokens)) for each in (first, second)]
    ids = [[step.token_id for step in run] for run in runs]
    equal = next((i for i, (a, b) in enumerate(zip(*ids, strict=False)) if a != b), min(map(len, ids)))
    start = Prefix(second.tokenizer.encode(prompt))
    path = [start.extend(ids[1][:n]) for n in range(len(ids[1]))]
    drift, agreed, excused = 0.0, 0, None
    for n, prefix in enumerate(path):
        ours, theirs = (each.predict([prefix])[0] for each in (first, second))
        likely = np.maximum(ours.logprobs, theirs.logprobs) > np.log(1e-3)
        gap = float(np.abs(ours.logprobs - theirs.logprobs)[likely].max())
        drift = max(drift, gap)
        noise = decodekit.Randomness(seed).at(n)
        agreed += (
            chain.step(ours, decodekit.Context(), chain.initial(decodekit.Context()), noise)[1].token_id == ids[1][n]
        )
        if n == equal:
            # The final scores are those of the chain, so the drift is measured there too.
            finals = [chain.apply(each, decodekit.Context(rng=None)) for each in (ours, theirs)]
            same = np.intersect1d(finals[0].support(), finals[1].support())
            moved = float(np.abs(finals[0].logprobs_of(same) - finals[1].logprobs_of(same)).max())
            lost = not {ids[0][n], ids[1][n]} <= set(same.tolist())
            excused = lost or min(run[n].choice.margin for run in runs) <= 2 * moved
    margins = [step.choice.margin for step in runs[1]]
    return Meeting(len(ids[1]), equal, agreed, drift, margins, excused)


def test_another_backend_draws_the_same_tokens_or_differs_inside_the_margin(adapter: Any, llama: Any) -> None:
    build = decodekit.processor
    chain = Chain([build("temperature", temperature=0.8), build("top_p", top_p=0.95)])
    meetings = [meet(adapter, llama, prompt, chain, seed=7, tokens=12) for prompt in PROMPTS[:3]]
    assert sum(meeting.equal for meeting in meetings) >= 24
    assert sum(meeting.agreed for meeting in meetings) >= 30
    assert all(meeting.drift < 2.0 for meeting in meetings)  # 4-bit weights, and 8-bit activations in llama.cpp
    assert all(meeting.excused in (None, True) for meeting in meetings)


@pytest.mark.slow
def test_the_real_model_keeps_the_contract(adapter: Any) -> None:
    module, tokenizer = adapter.module, adapter.tokenizer
    report = check_adapter(
        lambda: TorchAdapter(model=module, tokenizer=tokenizer, max_sequences=16, cells=4096),
        exact=False,
        tolerance=DRIFT[dtype_of(adapter)],
        lengths=(64, 256),
    )
    assert report.comparisons > 100


def test_a_difference_between_two_backends_is_a_drift(adapter: Any, llama: Any) -> None:
    """Their tokenizers have other fingerprints, and the same ids."""
    chain = Chain([decodekit.processor("temperature", temperature=1.2), decodekit.processor("top_p", top_p=0.95)])
    here, there = (
        Session(model, chain, seed=7).generate("The lighthouse stands at the edge of", max_tokens=12, level=level).trace
        for model, level in ((llama, "full"), (adapter, "proof"))
    )
    found = decodekit.diff(here, there)
    assert {"adapter.name", "adapter.tokenizer_fingerprint"} <= {field.field for field in found.fields}
    assert found.sequences[0].aligned_by == "ids" and found.sequences[0].before.max_drift > 0
    if not found.equal:
        assert (found.cause, found.where) == ("distribution", "raw") and found.first.parting.explained is not False
