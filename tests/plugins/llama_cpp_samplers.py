"""llama.cpp's own samplers as oracles: the C functions through ctypes. No model is needed.

sampler = llama_cpp_samplers.build("top_k", 40)
ids, scores = llama_cpp_samplers.apply(sampler, logits)
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

C = pytest.importorskip("llama_cpp")

_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class Sampler:
    """One C sampler, freed with its handle."""

    def __init__(self, handle: Any) -> None:
        self.handle = handle

    def __del__(self) -> None:
        C.llama_sampler_free(self.handle)


def build(name: str, *parameters: Any) -> Sampler:
    """``llama_sampler_init_<name>(*parameters)``."""
    return Sampler(getattr(C, f"llama_sampler_init_{name}")(*parameters))


def accept(sampler: Sampler, token_ids: Sequence[int]) -> None:
    """Tell the sampler what was chosen."""
    for token in token_ids:
        C.llama_sampler_accept(sampler.handle, token)


def apply(sampler: Sampler, logits: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The candidates that are left, in the order in which they are left: ids int64[n], logits float32[n].

    Some samplers mask instead of removing; their victims are here with -inf.
    """
    array, _keep_alive = _applied(sampler, logits)
    block = (ctypes.c_char * (array.size * _CANDIDATE.itemsize)).from_address(ctypes.addressof(array.data.contents))
    left = np.frombuffer(block, dtype=_CANDIDATE)
    return left["id"].astype(np.int64), left["logit"].copy()


def select(sampler: Sampler, logits: NDArray[np.float32]) -> int:
    """The token that a selecting sampler (dist, greedy, mirostat) chose; -1 when it chose none."""
    array, _keep_alive = _applied(sampler, logits)
    return int(array.data[array.selected].id) if array.selected >= 0 else -1


def _applied(sampler: Sampler, logits: NDArray[np.float32]) -> tuple[Any, NDArray[Any]]:
    candidates = np.zeros(len(logits), dtype=_CANDIDATE)
    candidates["id"] = np.arange(len(logits))
    candidates["logit"] = logits
    array = C.llama_token_data_array(
        data=ctypes.cast(candidates.ctypes.data, ctypes.POINTER(C.llama_token_data)),
        size=len(logits),
        selected=-1,
        sorted=False,
    )
    C.llama_sampler_apply(sampler.handle, ctypes.byref(array))
    return array, candidates
