"""llama.cpp's own C samplers on a row of logits, through the C API of llama-cpp-python. No model is needed."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

C: Any = pytest.importorskip("llama_cpp")

_TOKEN = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


def chain(*samplers: Any) -> Any:
    """A chain of C samplers, which owns them."""
    made = C.llama_sampler_chain_init(C.llama_sampler_chain_default_params())
    for sampler in samplers:
        C.llama_sampler_chain_add(made, sampler)
    return made


def apply(sampler: Any, logits: ArrayLike) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The ids and logits that the sampler leaves, in the order it leaves them."""
    array, _kept = _run(sampler, logits)
    rows = np.ctypeslib.as_array(ctypes.cast(array.data, ctypes.POINTER(ctypes.c_uint8)), (array.size * 12,))
    left = rows.view(_TOKEN).copy()
    return left["id"], left["logit"]


def select(sampler: Any, logits: ArrayLike) -> int:
    """The token that a sampler which draws selects."""
    array, _kept = _run(sampler, logits)
    return int(array.data[array.selected].id)


def random_rows(count: int, size: int, seed: int, spread: float = 3.0) -> list[NDArray[np.float32]]:
    """Rows of float32 logits, N(0, spread), no two equal in a row."""
    noise, rows = np.random.default_rng(seed), []
    while len(rows) < count:
        row = noise.normal(0, spread, size).astype(np.float32)
        if len(np.unique(row)) == size:
            rows.append(row)
    return rows


def _run(sampler: Any, logits: ArrayLike) -> tuple[Any, NDArray[Any]]:
    row = np.asarray(logits, dtype=np.float32)
    tokens = np.zeros(len(row), dtype=_TOKEN)
    tokens["id"], tokens["logit"] = np.arange(len(row)), row
    data = ctypes.cast(tokens.ctypes.data, ctypes.POINTER(C.llama_token_data))
    array = C.llama_token_data_array(data=data, size=len(row), selected=-1, sorted=False)
    C.llama_sampler_apply(sampler, ctypes.byref(array))
    return array, tokens  # the array points into the tokens
