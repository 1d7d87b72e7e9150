"""Properties of a module: its context length, how and where it computes, and the libraries behind it."""

from __future__ import annotations

import contextlib
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from decodekit.errors import ParameterError

__all__ = ["context_length", "device_type", "eos_of", "setting", "versions"]

_POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")


def context_length(module: Any, wanted: int | None) -> int | None:
    """The longest prefix in tokens: as requested, or the model's own limit; None where neither is known.

    Raises:
        ParameterError: the request exceeds the model's positions.
    """
    config: Any = getattr(module, "config", None)
    of_text = config.get_text_config() if hasattr(config, "get_text_config") else config
    positions = [getattr(of_text, name, None) for name in _POSITIONS]
    trained = next((n for n in positions if isinstance(n, int)), None)
    if wanted is not None and trained is not None and wanted > trained:
        raise ParameterError(f"adapter 'torch': n_ctx: this model has {trained} positions, not {wanted}")
    return wanted or trained


def device_type(module: Any) -> str | None:
    """The type of device a module is on, such as 'cpu' or 'cuda'; None for a function, or without parameters."""
    parameter = _parameter(module)
    return None if parameter is None else parameter.device.type


def setting(module: Any) -> dict[str, int | str]:
    """The settings of a module that affect the bits of its answers, for the schedule; 'unknown' for a function."""
    parameter = _parameter(module)
    attention = getattr(getattr(module, "config", None), "_attn_implementation", None)
    return {
        "dtype": "unknown" if parameter is None else str(parameter.dtype).removeprefix("torch."),
        "device": "unknown" if parameter is None else str(parameter.device),
        "attention": str(attention or "unknown"),
    }


def versions() -> dict[str, str]:
    """The versions of the libraries that affect the numbers."""
    found = {"torch": str(torch.__version__)}
    with contextlib.suppress(PackageNotFoundError):
        found["transformers"] = version("transformers")
    return found


def _parameter(module: Any) -> torch.Tensor | None:
    return next(iter(module.parameters()), None) if isinstance(module, torch.nn.Module) else None


def eos_of(module: Any) -> list[int]:
    """The end tokens that a transformers model's configs name, including the config of its text model."""
    found: list[int] = []
    own = getattr(module, "config", None)
    for config in (getattr(module, "generation_config", None), own, getattr(own, "text_config", None)):
        ids = getattr(config, "eos_token_id", None)
        found += [ids] if isinstance(ids, int) else list(ids or ())
    return found
