"""llama.cpp's own samplers, one at a time, on a row of logits."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

import llama_cpp
import numpy as np

_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class CSampler:
    """One of llama.cpp's samplers; a context manager that frees it.

    Args:
        build: one of ``llama_cpp.llama_sampler_init_*``.
        arguments: its arguments.
    """

    def __init__(self, build: Callable[..., Any], *arguments: Any) -> None:
        self._sampler = build(*arguments)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        llama_cpp.llama_sampler_free(self._sampler)

    def accept(self, ids: Iterable[int]) -> None:
        """Tell it the history, oldest first."""
        for token in ids:
            llama_cpp.llama_sampler_accept(self._sampler, int(token))

    def scores(self, row: np.ndarray) -> np.ndarray:
        """float64[V], the logits it leaves; -inf for a token it dropped."""
        candidates = np.zeros(len(row), dtype=_CANDIDATE)
        candidates["id"], candidates["logit"] = np.arange(len(row)), row
        array = llama_cpp.llama_token_data_array(
            data=ctypes.cast(candidates.ctypes.data, ctypes.POINTER(llama_cpp.llama_token_data)),
            size=len(row),
            selected=-1,
            sorted=False,
        )
        llama_cpp.llama_sampler_apply(self._sampler, ctypes.byref(array))
        left = candidates[: array.size]
        scores = np.full(len(row), -np.inf)
        scores[left["id"]] = left["logit"]
        return scores


def texts(strings: Iterable[str]) -> tuple[Any, int]:
    """A C array of strings and its length."""
    data = [string.encode() for string in strings]
    return (ctypes.c_char_p * len(data))(*data), len(data)
