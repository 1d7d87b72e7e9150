"""The torch adapter: a transformers causal LM, or any function from token ids to logits, on the CPU or a GPU.

decodekit.adapter("torch", model="smollm2")
"""

from __future__ import annotations

try:
    import torch as _torch  # noqa: F401 - imported only to explain how to install it
except ImportError as error:
    raise ImportError(f"the torch adapter needs torch: pip install 'decodekit[torch]' ({error})") from error

from decodekit_torch.adapter import TorchAdapter
from decodekit_torch.bridges import as_logits_processor, hf_logits_processor

__all__ = ["TorchAdapter", "as_logits_processor", "hf_logits_processor"]
