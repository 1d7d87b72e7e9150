"""Tiny models with random weights, one per kind of architecture; what they are asked; right answers in float64."""

from __future__ import annotations

import copy
import inspect
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from decodekit import Prefix

VOCAB = 199
WINDOWED = ("Mistral", "Gemma2", "Gemma3")
"""Kinds with a sliding window, here of 8 tokens, in every layer or in some."""
CACHED = ("Llama", "GPT2", "Qwen3", "Mixtral", "GPTNeoX", *WINDOWED)
"""Kinds that know their past by the keys and values of its tokens."""
FORGETFUL = ("Mamba",)
"""A kind with a state."""

ON_A_GPU = [pytest.param("cuda", dtype, marks=pytest.mark.cuda) for dtype in ("float32", "bfloat16")]
"""Device and dtype of the twins that a proof on the CPU has."""

DRIFT = {"float64": 1e-10, "float32": 1e-4, "float16": 0.2, "bfloat16": 0.8}
"""The largest |dlogp| in nats, against a full forward pass in float64, that these random models may show.

Measured over 208 prefixes of each kind: float64 1.2e-14, float32 2.3e-5, float16 0.066, bfloat16 0.34.
"""
ROUTED = 2.0
"""The same in bfloat16 for a mixture of experts, where rounding can send a token to another expert; measured 0.95."""
FLOAT32_INSIDE = ("Gemma2", "Gemma3", "Mamba", "Mixtral")
"""Kinds that compute in float32 somewhere whatever their weights are."""

_COMMON = {
    "vocab_size": VOCAB, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 300, "bos_token_id": None, "eos_token_id": None,
}  # fmt: skip
_SPECIAL: dict[str, dict[str, Any]] = {
    "GPT2": {"vocab_size": VOCAB, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 300, "bos_token_id": None,
             "eos_token_id": None},
    "Mamba": {"vocab_size": VOCAB, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4, "bos_token_id": None,
              "eos_token_id": None, "pad_token_id": None},
    "Mixtral": {**_COMMON, "num_local_experts": 4},
    "Mistral": {**_COMMON, "sliding_window": 8},
    "Gemma2": {**_COMMON, "sliding_window": 8, "head_dim": 8, "pad_token_id": None},
    "Gemma3": {**_COMMON, "sliding_window": 8, "head_dim": 8, "pad_token_id": None,
               "layer_types": ["sliding_attention", "full_attention"]},
    "Qwen3": {**_COMMON, "head_dim": 8},
}  # fmt: skip


def tiny(kind: str, seed: int = 0, **settings: Any) -> Any:
    """A model whose logits are spread out, so that a mistake is seen. The seed is torch's own and is put back."""
    config = getattr(transformers, kind + ("TextConfig" if kind == "Gemma3" else "Config"))(
        **{**_SPECIAL.get(kind, _COMMON), **settings}
    )
    build = getattr(transformers, kind + ("LMHeadModel" if kind == "GPT2" else "ForCausalLM"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build(config).eval()
        with torch.no_grad():
            for name, weights in model.named_parameters():
                if weights.ndim > 1 and "conv" not in name:
                    weights.normal_(0, 1.5 / weights.shape[-1] ** 0.5)
            model.get_output_embeddings().weight.normal_(0, 0.5)
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    return model


class Oracle:
    """Log-softmax in float64 over the whole sequence from nothing, one sequence at a time."""

    def __init__(self, model: Any) -> None:
        self.model = copy.deepcopy(model).cpu().double()
        if hasattr(self.model.config, "num_local_experts"):
            self.model.set_experts_implementation("eager")  # the grouped kernel knows no float64
        self._known: dict[tuple[int, ...], np.ndarray] = {}

    def __call__(self, ids: Sequence[int]) -> np.ndarray:
        """float64[V] after these ids."""
        key = tuple(ids)
        if key not in self._known:
            with torch.inference_mode():
                logits = self.model(input_ids=torch.tensor([key]), use_cache=False).logits[0]
            for end, row in enumerate(torch.log_softmax(logits, -1).numpy(), 1):
                self._known.setdefault(key[:end], row)
        return self._known[key]


def passes_of(model: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Rows and columns of every forward pass from here on."""
    shapes: list[tuple[int, int]] = []
    forward = model.forward

    def counting(*args: Any, **kwargs: Any) -> Any:
        shapes.append(tuple(kwargs["input_ids"].shape))
        return forward(*args, **kwargs)

    counting.__signature__ = inspect.signature(forward)  # type: ignore[attr-defined]
    monkeypatch.setattr(model, "forward", counting)
    return shapes


def cache_of(arguments: dict[str, Any]) -> Any:
    """The KV cache that a forward pass was called with; None without one. transformers renamed the argument in 5.24."""
    return arguments.get("cache", arguments.get("past_key_values"))


def prefixes_for(seed: int, count: int) -> list[list[Prefix]]:
    """Calls that branch, roll back, chain ancestors and mix lengths."""
    rng = random.Random(seed)
    known = [Prefix([rng.randrange(VOCAB) for _ in range(n)]) for n in (1, 2, 9, 30)]
    calls = []
    for _ in range(count):
        call = []
        for _ in range(rng.choice([1, 1, 2, 5])):
            base = rng.choice(known)
            kind = rng.random()
            if kind < 0.3 and len(base) > 2:
                call += [Prefix(base.token_ids[:n]) for n in range(1, len(base) + 1, rng.randint(1, 3))]
            elif kind < 0.5:
                call.append(Prefix(base.token_ids[: rng.randint(1, len(base))]))
            else:
                call.append(base.extend([rng.randrange(VOCAB) for _ in range(rng.choice([1, 1, 1, 4]))]))
        known += call[-2:]
        calls.append(call)
    return calls


def failing(model: Any, monkeypatch: pytest.MonkeyPatch, times: int, error: BaseException) -> None:
    """Make the next forward passes fail."""
    forward, left = model.forward, [times]

    def faulty(*args: Any, **kwargs: Any) -> Any:
        if left[0] > 0:
            left[0] -= 1
            forward(*args, **kwargs)  # the cache has been written to when it fails
            raise error
        return forward(*args, **kwargs)

    monkeypatch.setattr(model, "forward", faulty)
