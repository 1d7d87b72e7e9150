"""A thin, typed layer over llama.cpp's C API: one model, one context, one batch that is reused.

This module does not handle prefixes. Handles are freed once, in the right order, whether by `close` or at interpreter
exit.
"""

from __future__ import annotations

import ctypes
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from decodekit.errors import AdapterError, ModelNotFound, OutOfMemory
from decodekit.local.exclusive import Exclusive
from decodekit.local.interrupts import interrupts_wait
from decodekit.log import get_logger

__all__ = ["Batch", "LlamaContext", "Model", "fill", "recent_complaints", "start"]

_WARNING, _ERROR, _CONTINUED = 3, 4, 5  # ggml_log_level
_complaints: deque[str] = deque(maxlen=8)
_state = {"level": 0, "ready": 0}


def _log_line(level: int, text: bytes | None, _: object) -> None:
    """llama.cpp's log, line by line: it goes to the logger ``llama.cpp``, at debug level, and is not printed."""
    try:
        if level != _CONTINUED:
            _state["level"] = level
        line = (text or b"").decode("utf-8", "replace").rstrip("\n")
        if line and _state["level"] in (_WARNING, _ERROR):
            _complaints.append(line)
        if line.strip(". "):
            get_logger("llama.cpp").debug(line)
    except Exception:  # noqa: S110 - a log line must never turn into an exception inside C code
        pass


# The same C function with plain integers for pointers: making ctypes pointer objects costs more than the call.
_logits_address: Callable[[Any, int], int | None] = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32)(
    ctypes.cast(llama_cpp.llama_get_logits_ith, ctypes.c_void_p).value or 0
)

_callback = llama_cpp.llama_log_callback(_log_line)  # kept here, because C keeps the pointer


def _free(in_use: Exclusive, free: Callable[[Any], None], handle: Any) -> None:
    """Free memory of llama.cpp when no thread computes with it."""
    with in_use.lock:
        free(handle)


def start() -> None:
    """Redirect llama.cpp's log and start its backend, once per process."""
    if not _state["ready"]:
        llama_cpp.llama_log_set(_callback, ctypes.c_void_p(0))
        with interrupts_wait():
            llama_cpp.llama_backend_init()
        _state["ready"] = 1


def recent_complaints() -> str:
    """The last warnings of llama.cpp, for an error message; they are cleared when read."""
    complaints = "; ".join(_complaints)
    _complaints.clear()
    return f" llama.cpp says: {complaints}" if complaints else ""


def fill(struct: Any, **values: Any) -> Any:
    """The same C struct with these fields set. ctypes would silently accept a field that does not exist.

    Raises:
        AdapterError: this version of llama-cpp-python has no such field.
    """
    known = {name for name, *_ in struct._fields_}
    for name, value in values.items():
        if name not in known:
            raise AdapterError(
                f"llama-cpp-python {version('llama-cpp-python')} has no {name!r} in {type(struct).__name__}: this "
                "adapter was not made for that version; pip install 'decodekit[llamacpp]' installs one it was made for"
            )
        setattr(struct, name, value)
    return struct


class Model:
    """The weights and the vocabulary of a GGUF file.

    Args:
        path: the file.
        n_gpu_layers: how many layers to put on a GPU, if this build of llama.cpp has one.
        vocab_only: do not load the weights, only the tokenizer.

    Raises:
        ModelNotFound: llama.cpp cannot load the file.
    """

    def __init__(self, path: str, n_gpu_layers: int, *, vocab_only: bool = False) -> None:
        start()
        _complaints.clear()
        self.in_use = Exclusive()
        wishes = {"n_gpu_layers": n_gpu_layers, "vocab_only": vocab_only}
        parameters = fill(llama_cpp.llama_model_default_params(), **wishes)
        with interrupts_wait():
            self.handle: Any = llama_cpp.llama_model_load_from_file(path.encode(), parameters)
            if self.handle:
                self.close = weakref.finalize(self, _free, self.in_use, llama_cpp.llama_model_free, self.handle)
        if not self.handle:
            raise ModelNotFound(f"llama.cpp cannot load {path}.{recent_complaints()}")
        self.vocab: Any = llama_cpp.llama_model_get_vocab(self.handle)
        self.vocab_size = int(llama_cpp.llama_vocab_n_tokens(self.vocab))
        self.trained_context = int(llama_cpp.llama_model_n_ctx_train(self.handle))
        self.weights = int(llama_cpp.llama_model_ftype(self.handle))
        """The file's llama_ftype: how most of its weights are quantised."""

    @property
    def refusal(self) -> str | None:
        """Why this model cannot be used prefix by prefix; None when it can."""
        if not llama_cpp.llama_model_has_decoder(self.handle) or llama_cpp.llama_model_has_encoder(self.handle):
            return "it is not a decoder-only model"
        if llama_cpp.llama_model_is_recurrent(self.handle) or llama_cpp.llama_model_is_hybrid(self.handle):
            return "its state is recurrent: it cannot be rolled back or branched"
        if llama_cpp.llama_model_is_diffusion(self.handle):
            return "it is a diffusion model, which has no next token"
        return None

    def text(self, what: str) -> str | None:
        """A string of the model: 'chat_template' or a metadata key. None when it has none."""
        if what == "chat_template":
            found = llama_cpp.llama_model_chat_template(self.handle, None)
            return None if found is None else str(found.decode("utf-8", "replace"))
        buffer = ctypes.create_string_buffer(512)
        size = llama_cpp.llama_model_meta_val_str(self.handle, what.encode(), buffer, len(buffer))
        return None if size < 0 else buffer.value.decode("utf-8", "replace")


class Batch:
    """One reused llama_batch with NumPy arrays: the tokens of the next forward pass.

    Args:
        rows: the most tokens per forward pass.
        sequences: the most sequences one token may belong to.
    """

    def __init__(self, rows: int, sequences: int) -> None:
        self.size = 0
        self._tokens = np.zeros(rows, dtype=np.int32)
        self._positions = np.zeros(rows, dtype=np.int32)
        self._counts = np.ones(rows, dtype=np.int32)
        self._sequences = np.zeros((rows, sequences), dtype=np.int32)
        self._wanted = np.zeros(rows, dtype=np.int8)
        stride = self._sequences.strides[0]
        self._pointers = self._sequences.ctypes.data + stride * np.arange(rows + 1, dtype=np.uint64)
        self._pointers[rows] = 0  # llama.cpp's own batches end in a null pointer

        def at(array: NDArray[Any], kind: Any) -> Any:
            return ctypes.cast(array.ctypes.data, ctypes.POINTER(kind))

        self.struct = fill(
            llama_cpp.llama_batch(),
            n_tokens=0,
            token=at(self._tokens, ctypes.c_int32),
            pos=at(self._positions, ctypes.c_int32),
            n_seq_id=at(self._counts, ctypes.c_int32),
            seq_id=at(self._pointers, ctypes.POINTER(ctypes.c_int32)),
            logits=at(self._wanted, ctypes.c_int8),
        )

    def clear(self) -> None:
        """Start the next forward pass."""
        self._wanted[: self.size] = 0
        self.size = 0

    def add(self, ids: NDArray[np.int64], position: int, sequences: Sequence[int]) -> None:
        """Consecutive tokens of one or of several sequences that share them."""
        start, end = self.size, self.size + len(ids)
        if end == start + 1:  # plain writes are faster than slices
            self._tokens[start], self._positions[start], self._counts[start] = ids[0], position, len(sequences)
        else:
            self._tokens[start:end] = ids
            self._positions[start:end] = np.arange(position, position + len(ids))
            self._counts[start:end] = len(sequences)
        self._sequences[start:end, : len(sequences)] = sequences
        self.size = end

    def want(self, row: int) -> None:
        """Ask for the logits after this token."""
        self._wanted[row] = 1


class LlamaContext:
    """A llama.cpp context with a unified KV cache: forward passes and the cache they fill.

    Args:
        model: the model; it must outlive the context.
        cells: how many tokens the cache holds. llama.cpp rounds up to a multiple of 256.
        rows: the most tokens per forward pass.
        sequences: how many sequences there are.
        n_threads: for all passes alike.
        cache_types: the ggml types of K and V.

    Raises:
        OutOfMemory: llama.cpp cannot make one of this size.
    """

    def __init__(
        self, model: Model, *, cells: int, rows: int, sequences: int, n_threads: int, cache_types: tuple[int, int]
    ) -> None:
        _complaints.clear()
        most_rows = max(rows, sequences)  # llama.cpp aborts with fewer rows than sequences
        parameters = fill(
            llama_cpp.llama_context_default_params(),
            n_ctx=cells,
            n_batch=most_rows,
            n_ubatch=most_rows,
            n_seq_max=sequences,
            n_threads=n_threads,
            n_threads_batch=n_threads,
            flash_attn_type=llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED,
            type_k=cache_types[0],
            type_v=cache_types[1],
            kv_unified=True,
            swa_full=True,  # a sliding window that drops tokens could not be rolled back
            no_perf=True,
        )
        self.threads, self.in_use = n_threads, Exclusive()
        self.parameters: Any = parameters
        with interrupts_wait():
            self._handle: Any = llama_cpp.llama_init_from_model(model.handle, parameters)
            if self._handle:
                self.close = weakref.finalize(self, _free, self.in_use, llama_cpp.llama_free, self._handle)
        if not self._handle:
            raise OutOfMemory(f"llama.cpp cannot make a context of {cells} tokens.{recent_complaints()}")
        self._memory: Any = llama_cpp.llama_get_memory(self._handle)
        self._model = model  # kept, so that the garbage collector frees the context first
        self._vocab_size = model.vocab_size
        self._rows_seen: dict[int, NDArray[np.float32]] = {}
        self.cells = int(llama_cpp.llama_n_ctx(self._handle))
        self.batch = Batch(rows, sequences)

    def decode(self) -> int:
        """Evaluate the batch. 0 on success; otherwise llama.cpp's own code, and the content of the cache is unknown."""
        self.batch.struct.n_tokens = self.batch.size
        return int(llama_cpp.llama_decode(self._handle, self.batch.struct))

    def logits(self, row: int) -> NDArray[np.float32]:
        """float32[V], the logits after a token of the last batch. A view: the next `decode` overwrites it.

        Raises:
            AdapterError: they were not requested.
        """
        address = _logits_address(self._handle, row)
        if not address:
            raise AdapterError(f"llama.cpp has no logits for row {row} of the last batch")
        view = self._rows_seen.get(address)
        if view is None:  # making a view is slow; llama.cpp uses the same few addresses again and again
            if len(self._rows_seen) > 4096:
                self._rows_seen.clear()
            row_at = (ctypes.c_float * self._vocab_size).from_address(address)
            view = self._rows_seen[address] = np.ctypeslib.as_array(row_at)
        return view

    def clear(self) -> None:
        """Remove every sequence."""
        llama_cpp.llama_memory_clear(self._memory, False)

    def copy(self, source: int, target: int, start: int, end: int) -> None:
        """Let ``target`` share the cells of ``source`` at positions [start, end). Moves no data."""
        llama_cpp.llama_memory_seq_cp(self._memory, source, target, start, end)

    def remove(self, sequence: int, start: int) -> None:
        """Remove the sequence from its cells, from a position on. Cells without a sequence are free."""
        if not llama_cpp.llama_memory_seq_rm(self._memory, sequence, start, -1):
            raise AdapterError(f"llama.cpp cannot roll a sequence back to {start} tokens")

    def save(self, sequence: int) -> Any:
        """The cells of a sequence as opaque bytes."""
        size = llama_cpp.llama_state_seq_get_size(self._handle, sequence)
        buffer = (ctypes.c_uint8 * size)()
        if llama_cpp.llama_state_seq_get_data(self._handle, buffer, size, sequence) != size:
            raise AdapterError("llama.cpp did not write the state of a sequence")
        return buffer

    def load(self, sequence: int, saved: Any) -> None:
        """Put saved cells into the first free ones."""
        if llama_cpp.llama_state_seq_set_data(self._handle, saved, len(saved), sequence) != len(saved):
            raise AdapterError("llama.cpp did not read the state of a sequence")
