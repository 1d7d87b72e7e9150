"""The mode in which torch computes, and whether its results are reproducible bit for bit."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch

from decodekit.errors import AdapterError

__all__ = ["computing", "repeats_its_bits"]


@contextlib.contextmanager
def computing(*, deterministic: bool, compiled: bool) -> Iterator[None]:
    """No gradients; and with ``deterministic`` torch's own switch, which is one for the whole process.

    Raises:
        AdapterError: the model has an operation without a deterministic algorithm.
    """
    # Tensors that compilers and CUDA graphs overwrite must be ordinary tensors.
    with torch.no_grad() if compiled else torch.inference_mode():
        if not deterministic:
            yield
            return
        before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
        torch.use_deterministic_algorithms(True)
        try:
            yield
        except RuntimeError as error:
            if "deterministic" in str(error).lower():
                raise AdapterError(f"this model cannot run deterministically: {error}") from error
            raise
        finally:
            torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def repeats_its_bits(device: str, *, deterministic: bool) -> bool:
    """Whether the same question in the same schedule gives the same bits on this type of device."""
    held = deterministic and os.environ.get("CUBLAS_WORKSPACE_CONFIG") in (":4096:8", ":16:8")
    return device == "cpu" or (device == "cuda" and held)
