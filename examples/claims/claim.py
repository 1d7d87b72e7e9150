"""What a claim and its test are; the models that the tests share."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import decodekit
from decodekit.analysis import Estimate

SETTINGS = {"model": "smollm2", "n_threads": 1, "n_ctx": 512}
SMOLLM2 = "SmolLM2-135M-Instruct, llama.cpp"
BOTH = f"{SMOLLM2} and, where it is named, torch with the same file"
AUDITED = "the four of `decodekit audit` (decodekit.analysis.audit.material.PROMPTS)"
PROMPT = "The capital of France is"
SWEEP = f'decodekit sweep --model smollm2 --prompt "{PROMPT}"'


def in_python(*lines: str) -> str:
    """A command for what decodekit has no command for."""
    return 'python -c "\n' + "\n".join(lines) + '"'


@dataclass(frozen=True)
class Claim:
    """A claim, and what was measured.

    Args:
        claim: in plain words.
        model: what was measured.
        figures: each with its error, by what it is. A small measurement has some of them, and those are the same.
        verdict: a word or two.
        why: a sentence.
        supported: whether the figures support the verdict.
        plot: writes the plot to a path.
        prompts: what the model continued, as text or in words.
        commands: of ``decodekit`` or ``python``; they measure a part of it, and the page has what they print.
    """

    claim: str
    model: str
    figures: dict[str, str]
    verdict: str
    why: str
    supported: bool
    plot: Callable[[Path], None] | None = None
    prompts: str = f'"{PROMPT}"'
    commands: tuple[str, ...] = ()


@functools.cache
def smollm2() -> decodekit.Session:
    """A session of SmolLM2 on llama.cpp, one for all claims."""
    return decodekit.Session(decodekit.adapter("llamacpp", **SETTINGS), "temperature=1", seed=0)


@functools.cache
def first_rows(models: int) -> list[decodekit.Distribution]:
    """The distribution after the prompt, from so many newly loaded models: one would return its stored answer."""
    rows = []
    for _ in range(models):
        with decodekit.Session(decodekit.adapter("llamacpp", **SETTINGS)) as session:
            tokenizer = session.adapter.tokenizer
            rows += session.adapter.predict([decodekit.Prefix(tokenizer.encode(PROMPT))], [decodekit.ALL])
    return rows


@functools.cache
def _loaded() -> Any:
    """The weights of the same GGUF file in torch, for all claims."""
    return decodekit.adapter("torch", model="smollm2")


def torch_smollm2() -> Any:
    """A new adapter of these weights, which has stored nothing."""
    from decodekit_torch import TorchAdapter

    return TorchAdapter(model=_loaded().module, tokenizer=_loaded().tokenizer, stochastic=False)


@functools.cache
def torch_rows(adapters: int) -> list[decodekit.Distribution]:
    """The distribution after the prompt, from so many new torch adapters."""
    rows = []
    for _ in range(adapters):
        with decodekit.Session(torch_smollm2()) as session:
            rows += session.adapter.predict([decodekit.Prefix(session.adapter.tokenizer.encode(PROMPT))])
    return rows


@functools.cache
def tiny_mixtral() -> Any:
    """A mixture of experts with random weights in bfloat16: too small to be good, and computed like a large one."""
    import torch
    from transformers import MixtralConfig, MixtralForCausalLM

    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = MixtralConfig(vocab_size=199, num_key_value_heads=2, num_local_experts=4, **sizes)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = MixtralForCausalLM(config).eval()
        for weights in model.parameters():
            if weights.ndim > 1:
                weights.normal_(0, 1.5 / weights.shape[-1] ** 0.5)
    return model.to(torch.bfloat16)


def plus_minus(found: Estimate, unit: str = "") -> str:
    """A mean with its standard error; the error says how many texts or prompts it is by."""
    error = "" if math.isnan(found.error) else f" ± {found.error:.3f}"
    return f"{found.value:.3f}{error} {unit}".rstrip()


def percent(share: float) -> str:
    """A probability for the page."""
    return f"{100 * share:.2f} %" if share >= 1e-4 or share == 0 else "under 0.01 %"
