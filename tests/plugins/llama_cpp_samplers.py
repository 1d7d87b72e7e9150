"""llama.cpp's own samplers as oracles: the C functions through ctypes. Most need no model.

sampler = llama_cpp_samplers.build("top_k", 40)
ids, scores = llama_cpp_samplers.apply(sampler, logits)
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

C: Any = pytest.importorskip("llama_cpp")

_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class Sampler:
    """One C sampler or chain, freed with its handle."""

    def __init__(self, handle: Any) -> None:
        self.handle = handle

    def __del__(self) -> None:
        if self.handle is not None:
            C.llama_sampler_free(self.handle)


def build(name: str, *parameters: Any) -> Sampler:
    """``llama_sampler_init_<name>(*parameters)``."""
    return Sampler(getattr(C, f"llama_sampler_init_{name}")(*parameters))


def chain(*samplers: Sampler) -> Sampler:
    """A chain, which takes the samplers over."""
    made = Sampler(C.llama_sampler_chain_init(C.llama_sampler_chain_default_params()))
    for sampler in samplers:
        C.llama_sampler_chain_add(made.handle, sampler.handle)
        sampler.handle = None
    return made


def accept(sampler: Sampler, token_ids: Iterable[int]) -> None:
    """Tell the sampler what was chosen, oldest first."""
    for token in token_ids:
        C.llama_sampler_accept(sampler.handle, int(token))


def apply(sampler: Sampler, logits: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The candidates that are left, in the order in which they are left: ids int64[n], logits float32[n].

    Some samplers mask instead of removing; their victims are here with -inf.
    """
    array, _keep_alive = _applied(sampler, logits)
    block = (ctypes.c_char * (array.size * _CANDIDATE.itemsize)).from_address(ctypes.addressof(array.data.contents))
    left = np.frombuffer(block, dtype=_CANDIDATE)
    return left["id"].astype(np.int64), left["logit"].copy()


def scores(sampler: Sampler, logits: ArrayLike) -> NDArray[np.float64]:
    """float64[V], what `apply` leaves in id order; -inf for a token it dropped."""
    ids, left = apply(sampler, logits)
    row = np.full(len(np.asarray(logits)), -np.inf)
    row[ids] = left
    return row


def select(sampler: Sampler, logits: ArrayLike) -> int:
    """The token that a selecting sampler (dist, greedy, mirostat) chose; -1 when it chose none."""
    array, _keep_alive = _applied(sampler, logits)
    return int(array.data[array.selected].id) if array.selected >= 0 else -1


def texts(strings: Iterable[str]) -> tuple[Any, int]:
    """A C array of strings and its length."""
    data = [string.encode() for string in strings]
    return (ctypes.c_char_p * len(data))(*data), len(data)


def _applied(sampler: Sampler, logits: ArrayLike) -> tuple[Any, NDArray[Any]]:
    row = np.asarray(logits, dtype=np.float32)
    candidates = np.zeros(len(row), dtype=_CANDIDATE)
    candidates["id"], candidates["logit"] = np.arange(len(row)), row
    array = C.llama_token_data_array(
        data=ctypes.cast(candidates.ctypes.data, ctypes.POINTER(C.llama_token_data)),
        size=len(row),
        selected=-1,
        sorted=False,
    )
    C.llama_sampler_apply(sampler.handle, ctypes.byref(array))
    return array, candidates  # the array points into the candidates
