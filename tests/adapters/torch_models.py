"""Tiny models with random weights, one per kind of architecture, and the float64 forward pass they are held against."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import transformers

VOCAB = 199
WINDOWED = ("Mistral", "Gemma2", "Gemma3")
"""Kinds with a sliding window, here of 8 tokens, in every layer or in some."""
CACHED = ("Llama", "GPT2", "Qwen3", "Mixtral", "GPTNeoX", *WINDOWED)
"""Kinds that know their past by the keys and values of its tokens."""
FORGETFUL = ("Mamba",)
"""A kind with a state."""

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
        self.model = copy.deepcopy(model).double()
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
