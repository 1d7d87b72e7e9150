"""Presets of engines that do not run here, beside plain torch transcriptions of what their sources compute.

The parts that were run are tables in tests/peers. TGI applies transformers' own classes, which run here. The
transcriptions are in float32, as the engines are, on rows without ties.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from decodekit import Chain, Context, Distribution
from tests.plugins.logit_rows import normal_rows

torch = pytest.importorskip("torch")
warpers = pytest.importorskip("transformers.generation.logits_process")

VOCAB, CASES = 200, 80
Engine = Callable[[Any, list[int], list[int], dict[str, Any]], Any]


def counted(ids: list[int]) -> Any:
    return torch.bincount(torch.tensor(ids, dtype=torch.long), minlength=VOCAB).float()


def repetition(logits: Any, seen: Any, penalty: float) -> Any:
    return torch.where(seen, torch.where(logits > 0, logits / penalty, logits * penalty), logits)


def min_p(logits: Any, share: float) -> Any:
    p = logits.softmax(-1)
    return logits.masked_fill(p < share * p.max(), -math.inf)


def top_k_then_p(logits: Any, k: int, share: float) -> Any:
    """vLLM's ``apply_top_k_top_p_pytorch``: ascending sums, at most 1 - p is dropped."""
    row, ids = logits.sort(descending=False)
    if k > 0:
        row = row.masked_fill(row < row[max(0, len(row) - k)], -math.inf)
    if share < 1:
        drop = row.softmax(-1).cumsum(-1) <= 1 - share
        drop[-1] = False
        row = row.masked_fill(drop, -math.inf)
    return torch.empty_like(row).scatter(0, ids, row)


def vllm(logits: Any, prompt: list[int], output: list[int], asked: dict[str, Any]) -> Any:
    logits = repetition(logits, counted(prompt + output) > 0, asked["repetition_penalty"])
    logits = logits - asked["frequency_penalty"] * counted(output)
    logits = logits - asked["presence_penalty"] * (counted(output) > 0)
    logits = min_p(logits / asked["temperature"], asked["min_p"])
    return top_k_then_p(logits, asked["top_k"], asked["top_p"])


def sglang(logits: Any, prompt: list[int], output: list[int], asked: dict[str, Any]) -> Any:
    counts = counted(output)
    logits = logits - asked["frequency_penalty"] * counts - asked["presence_penalty"] * (counts > 0)
    logits = repetition(logits, counts > 0, asked["repetition_penalty"]) / asked["temperature"]
    p, ids = logits.softmax(-1).sort(descending=True)
    least = p[0] * asked["min_p"]
    kept = p.clone()
    kept[(p.cumsum(-1) - p) > asked["top_p"]] = 0
    kept[asked["top_k"] :] = 0
    kept[kept < least] = 0
    return torch.zeros_like(p).scatter(0, ids, kept).log()


def exllamav3(logits: Any, prompt: list[int], output: list[int], asked: dict[str, Any]) -> Any:
    logits = repetition(logits, counted(prompt + output) > 0, asked["rep_p"])
    counts = counted(prompt + output)
    logits = logits - asked["freq_p"] * counts - asked["pres_p"] * (counts > 0)
    first = 1.0 if asked["temp_last"] else asked["temperature"]
    p, ids = (logits / first).softmax(-1).sort(descending=True)
    p[p < asked["min_p"] * p[0]] = 0
    p[asked["top_k"] :] = 0
    p /= p.sum()
    p[1:] *= (p.cumsum(-1) <= asked["top_p"])[1:]
    if asked["temp_last"]:
        p = p ** (1 / asked["temperature"])
    return torch.zeros_like(p).scatter(0, ids, p).log()


def tgi(logits: Any, prompt: list[int], output: list[int], asked: dict[str, Any]) -> Any:
    row = repetition(logits, counted(prompt + output) > 0, asked["repetition_penalty"])[None]
    for made in (
        warpers.TemperatureLogitsWarper(asked["temperature"]),
        warpers.TopKLogitsWarper(top_k=asked["top_k"]),
        warpers.TopPLogitsWarper(top_p=asked["top_p"]),
        warpers.TypicalLogitsWarper(mass=asked["typical_p"]),
    ):
        row = made(None, row)
    return row[0]


def webui(logits: Any, prompt: list[int], output: list[int], asked: dict[str, Any]) -> Any:
    counts = counted(prompt + output)
    logits = repetition(logits, counts > 0, asked["repetition_penalty"])
    logits = logits - asked["presence_penalty"] * (counts > 0) - asked["frequency_penalty"] * counts
    row = logits[None]
    heat = warpers.TemperatureLogitsWarper(asked["temperature"])
    row = row if asked["temperature_last"] else heat(None, row)
    row = warpers.TopKLogitsWarper(top_k=asked["top_k"])(None, row)
    row = warpers.TopPLogitsWarper(top_p=asked["top_p"])(None, row)
    row = warpers.TypicalLogitsWarper(mass=asked["typical_p"])(None, row)
    row = warpers.EpsilonLogitsWarper(epsilon=asked["epsilon_cutoff"] * 1e-4)(None, row)
    p = row.softmax(-1)
    row = row.masked_fill(p < asked["top_a"] * p.max() ** 2, -math.inf)
    row = min_p(row, asked["min_p"])
    return (heat(None, row) if asked["temperature_last"] else row)[0]


def asked_of(engine: str, rng: np.random.Generator) -> dict[str, Any]:
    uniform = lambda low, high: float(rng.uniform(low, high))  # noqa: E731
    shared = {
        "temperature": uniform(0.4, 1.8),
        "top_k": int(rng.integers(5, 100)),
        "top_p": uniform(0.5, 0.99),
        "min_p": uniform(0.001, 0.1),
    }
    openai = {"frequency_penalty": uniform(-0.5, 1), "presence_penalty": uniform(-0.5, 1)}
    repeated = {"repetition_penalty": uniform(0.8, 1.6)}
    own: dict[str, dict[str, Any]] = {
        "vllm": {**shared, **openai, **repeated},
        "sglang": {**shared, **openai, **repeated, "sampling_backend": "pytorch"},
        "exllamav3": {
            **shared,
            "rep_p": uniform(0.8, 1.6),
            "freq_p": uniform(0, 1),
            "pres_p": uniform(0, 1),
            "temp_last": bool(rng.random() < 0.5),
        },
        "tgi": {key: shared[key] for key in ("temperature", "top_k", "top_p")}
        | {"typical_p": uniform(0.5, 0.99), **repeated},
        "text-generation-webui": {
            **shared,
            **openai,
            **repeated,
            "typical_p": uniform(0.5, 0.99),
            "epsilon_cutoff": uniform(1, 50),
            "top_a": uniform(0.01, 0.3),
            "temperature_last": bool(rng.random() < 0.5),
        },
    }
    return own[engine]


ENGINES: dict[str, Engine] = {
    "vllm": vllm,
    "sglang": sglang,
    "exllamav3": exllamav3,
    "tgi": tgi,
    "text-generation-webui": webui,
}


@pytest.mark.parametrize("engine", ENGINES)
def test_the_distribution_is_what_the_source_computes(engine: str) -> None:
    rng = np.random.default_rng(3)
    differing = 0
    for row in normal_rows(CASES, VOCAB, 4):
        asked = asked_of(engine, rng)
        prompt, output = rng.integers(0, 30, 12).tolist(), rng.integers(0, 30, 8).tolist()
        ours = Chain.preset(engine, **asked).apply(Distribution.dense(row), Context(prompt, output))
        theirs = Distribution.dense(ENGINES[engine](torch.tensor(row), prompt, output, asked).double().numpy())
        kept = sorted(theirs.support().tolist())
        if sorted(ours.support().tolist()) != kept:
            differing += 1  # they sum in float32
            continue
        np.testing.assert_allclose(ours.logprobs_of(kept), theirs.logprobs_of(kept), atol=3e-5)
    assert differing <= 1


@pytest.mark.parametrize("order", [(6, 0, 1, 3, 4, 2, 5), (6, 5, 0, 2, 4)])
def test_koboldcpp_is_the_c_samplers_in_its_order(order: tuple[int, ...]) -> None:
    llama = pytest.importorskip("tests.plugins.llama_cpp_samplers")
    rng = np.random.default_rng(5)
    for row in normal_rows(CASES, VOCAB, 6):
        k, p, low, typical = int(rng.integers(5, 100)), *rng.uniform((0.5, 0.001, 0.5), (0.99, 0.1, 0.99)).tolist()
        heat, penalty = rng.uniform(0.4, 1.8), rng.uniform(0.8, 1.6)
        prompt = rng.integers(0, 30, 12).tolist()
        stages = {
            6: [("penalties", VOCAB, 320, penalty, 0.0, 0.0)],
            0: [("top_k", k)],
            4: [("typical", typical, 1)],
            2: [("top_p", p, 1), ("min_p", low, 1)],
            5: [("temp", heat)],
        }
        theirs = llama.chain(*(llama.build(*stage) for place in order for stage in stages.get(place, [])))
        llama.accept(theirs, [0] * (320 - len(prompt)) + prompt)
        ids, scores = llama.apply(theirs, row)
        asked = {"top_k": k, "top_p": p, "min_p": low, "typical": typical, "temperature": heat, "rep_pen": penalty}
        chain = Chain.preset("koboldcpp", sampler_order=order, **asked)
        ours = chain.apply(Distribution.dense(row), Context(prompt))
        assert sorted(ours.support().tolist()) == sorted(ids.tolist())
        logprobs = scores - np.logaddexp.reduce(scores.astype(np.float64))
        np.testing.assert_allclose(ours.logprobs_of(ids), logprobs, atol=3e-5)
