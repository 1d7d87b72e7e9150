"""`LlamaCppAdapter`: answers prefixes with the logits of a GGUF model, evaluating as few tokens as it can."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import llama_cpp
from pydantic import BeforeValidator, Field

from decodekit.distribution import Distribution, Schedule
from decodekit.distribution.disclosure import ALL, CHEAP, Disclosure
from decodekit.errors import (
    AdapterError,
    DecodekitError,
    DistributionError,
    ModelNotFound,
    OutOfMemory,
    ParameterError,
)
from decodekit.local.fingerprint import file_fingerprint
from decodekit.local.hub import hub_commit
from decodekit.local.model_files import find_model
from decodekit.local.paths import TokenPath, cached_length, fault_of, paths_of
from decodekit.local.process import require_threads
from decodekit.model.adapter import AdapterInfo, Answer
from decodekit.model.pickling import OfOneProcess
from decodekit.model.prefix import Prefix
from decodekit.plugin import parameter_model, validated
from decodekit_llamacpp.kv_slots import EXTRA_SEQUENCES, KVSlots
from decodekit_llamacpp.native import LlamaContext, Model, recent_complaints
from decodekit_llamacpp.plan import Segment, chunks, segments_of
from decodekit_llamacpp.threads import physical_cores
from decodekit_llamacpp.tokenizer import LlamaCppTokenizer

__all__ = ["LlamaCppAdapter"]

_DEFAULT_CONTEXT = 4096
_CPU_ROWS, _GPU_ROWS = 64, 512  # on the CPU more rows gave no speedup when measured, and they take memory
_LONGEST_TAIL = 16  # tokens of a guess that are thrown away rather than kept in a slot of their own
_F16, _BF16 = 1, 30  # ggml types

# llama.cpp's attention on the CPU has three kernels that sum in different orders, chosen by the number of rows and
# threads. Two of them need K and V of one type. With K in bf16 and V in f16 only one remains, for every schedule.
_CACHE_TYPES = {"bf16-f16": (_BF16, _F16), "f16": (_F16, _F16)}

# By llama_ftype, as measured on x86-64 with AVX-512: the kernels for the weights have their own thresholds.
_INVARIANT = {
    **dict.fromkeys((2, 3, 7), "any number of rows per forward, any cache history, 1 or 2 threads"),
    **dict.fromkeys((0, 1, 32), "two or more rows per forward, any cache history, 1 or 2 threads"),
}


def _as_text(path: Any) -> Any:
    """A path as text, and anything else as it is."""
    return os.fsdecode(path) if isinstance(path, os.PathLike) else path


class LlamaCppAdapter(OfOneProcess):
    """An `Adapter` for a GGUF model in this process.

    Args:
        model: the path of a ``.gguf`` file, the name of an installed model package such as ``smollm2``, or a file of
            the hub, ``hf:org/repo/file.gguf@revision``.
        n_ctx: the longest prefix in tokens; the smaller of the model's own context and 4096 by default.
        n_threads: threads per forward pass; the physical cores by default.
        max_sequences: how many branches are kept in the cache at a time.
        rows_per_forward: the most tokens per forward pass; 64 on the CPU, 512 with layers on a GPU.
        cells: how many tokens the cache holds in all; ``n_ctx`` and one forward pass by default. Many branches of a
            long prefix need more.
        n_gpu_layers: how many layers go to a GPU; 0 for none, -1 for all. Refused where llama.cpp was built
            without one.
        cache_type: the types of the cached keys and values. ``bf16-f16`` keeps the bits independent of the schedule
            on the CPU; ``f16`` is llama.cpp's own default, and the default here with layers on a GPU.
        sha256: refuse a model file whose SHA-256 is not this one.
        allow_downloads: whether a file of the hub may be fetched; otherwise it must be in the hub's cache.

    Raises:
        ParameterError: a parameter is out of range.
        ModelNotFound: there is no such model, it is not a GGUF file or not the pinned one, or llama.cpp cannot load it.
        OutOfMemory: there is no room for a context of this size.
    """

    def __init__(
        self,
        *,
        model: Annotated[str, BeforeValidator(_as_text), Field(min_length=1, max_length=4096)],
        n_ctx: Annotated[int, Field(ge=1, le=1_048_576)] | None = None,
        n_threads: Annotated[int, Field(ge=1, le=512)] | None = None,
        max_sequences: Annotated[int, Field(ge=1, le=250)] = 32,
        rows_per_forward: Annotated[int, Field(ge=1, le=8192)] | None = None,
        cells: Annotated[int, Field(ge=1, le=4_194_304)] | None = None,
        n_gpu_layers: Annotated[int, Field(ge=-1, le=1000)] = 0,
        cache_type: Literal["bf16-f16", "f16"] | None = None,
        sha256: Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$", max_length=64)] | None = None,
        allow_downloads: bool = False,
    ) -> None:
        model = _as_text(model)
        given = {key: value for key, value in locals().items() if key != "self"}
        validated(parameter_model(type(self)), given, "adapter 'llamacpp'")
        threads = n_threads or physical_cores()
        require_threads("llamacpp", threads)
        _require_gpu(n_gpu_layers)
        path = find_model(model, allow_downloads=allow_downloads)
        fingerprint = _require_pinned(path, sha256)
        self._rows = rows_per_forward or (_GPU_ROWS if n_gpu_layers else _CPU_ROWS)
        cache = cache_type or ("f16" if n_gpu_layers else "bf16-f16")
        self.settings = {"cache": cache, "n_gpu_layers": n_gpu_layers}
        self._model = Model(str(path), n_gpu_layers)
        try:
            if self._model.refusal is not None:
                raise ModelNotFound(f"{path} cannot be used here: {self._model.refusal}")
            self._n_ctx = n_ctx or min(self._model.trained_context, _DEFAULT_CONTEXT)
            if self._n_ctx > self._model.trained_context:
                raise ParameterError(f"n_ctx: {model} has a context of {self._model.trained_context}, not {n_ctx}")
            self._context = LlamaContext(
                self._model,
                cells=max(cells or 0, self._n_ctx + self._rows),
                rows=self._rows,
                sequences=max_sequences + EXTRA_SEQUENCES,
                n_threads=threads,
                cache_types=_CACHE_TYPES[cache],
            )
        except BaseException:
            self._model.close()
            raise
        self.caches = True
        self.overlaps = threads < physical_cores()  # a session may record a step while the next one is computed
        self._kv = KVSlots(self._context, max_sequences)
        self._max_sequences = max_sequences
        self._chained: dict[int, int] = {}  # by slot: where the last tokens begin that were asked for one by one
        self._tokenizer = LlamaCppTokenizer(self._model, fingerprint)
        self._answers: dict[bytes, Distribution] = {}
        self._schedules: dict[int, Schedule] = {
            rows: {"rows": rows, "threads": threads, "cache": cache} for rows in range(1, self._rows + 1)
        }
        # The bits were measured on the CPU, not on a GPU.
        invariant = _INVARIANT.get(self._model.weights, "") if cache == "bf16-f16" and not n_gpu_layers else ""
        self._hub_commit = hub_commit(path)
        self._info = self._described(model, fingerprint, deterministic=not n_gpu_layers, schedule_invariant=invariant)

    def _described(self, model: str, fingerprint: str, *, deterministic: bool, schedule_invariant: str) -> AdapterInfo:
        return AdapterInfo(
            name="llamacpp",
            model=model,
            model_fingerprint=fingerprint,
            tokenizer_fingerprint=self._tokenizer.fingerprint,
            vocab_size=self._model.vocab_size,
            context_length=self._n_ctx,
            cheap=ALL,
            most=ALL,
            stage="raw",
            origin="logits",
            deterministic=deterministic,
            schedule_invariant=schedule_invariant,
            concurrency=self._max_sequences,
            versions={
                "llama-cpp-python": version("llama-cpp-python"),
                "llama.cpp system": llama_cpp.llama_print_system_info().decode("utf-8", "replace").strip(" |"),
                **self._hub_commit,
            },
        )

    @property
    def info(self) -> AdapterInfo:
        """The properties of this adapter."""
        return self._info

    @property
    def tokenizer(self) -> LlamaCppTokenizer:
        """The tokenizer that is inside the model file."""
        return self._tokenizer

    def predict(self, prefixes: Sequence[Prefix], disclose: Disclosure | Sequence[Disclosure] = CHEAP) -> list[Answer]:
        """The whole distribution after each prefix, whatever was asked to be disclosed; or that prefix's own error.

        Raises:
            AdapterError: the adapter is closed, or llama.cpp broke down.
        """
        with self._context.in_use.lock:
            if not self._context.close.alive:
                raise AdapterError("this adapter is closed")
            self._context.in_use.require_whole("llamacpp")
            require_threads("llamacpp", self._context.threads)
            try:
                answers = self._next_tokens(prefixes) or self._any(prefixes)
            except BaseException:  # an interrupt too: the content of the cells is unknown
                if self._context.close.alive:  # a signal handler may have closed it
                    self._kv.clear()
                raise
        return [answers[prefix.digest] for prefix in prefixes]

    def cached_tokens(self, prefix: Prefix) -> int | None:
        """How many leading tokens of a prefix need no evaluation now; None while another thread computes."""
        return self._context.in_use.if_free(lambda: cached_length(prefix, self._kv.index, self._answers))

    def close(self) -> None:
        """Free the context and the model, after the forward pass that is running. Closing twice does nothing."""
        self._context.close()
        self._model.close()
        self._answers = {}

    def _next_tokens(self, prefixes: Sequence[Prefix]) -> dict[bytes, Answer] | None:
        """The most common call, without a plan: each prefix is one token longer than the content of its own slot."""
        kv = self._kv
        if len(prefixes) > min(self._rows, kv.room) or kv.wants_compaction():
            return None
        segments: dict[int, Segment] = {}
        for prefix in prefixes:
            start = len(prefix) - 1
            slot = kv.index.holding(prefix.parent)
            if slot < 0 or slot in segments or kv.index.length(slot) != start or prefix.digest in self._answers:
                return None
            ids = prefix.since(start)
            if start >= self._n_ctx or ids[0] >= self._model.vocab_size:
                return None
            segments[slot] = Segment([slot], start, ids, [(0, prefix.digest)])
        answers: dict[bytes, Answer] = {}
        try:
            self._decode(segments.values(), answers)
        except _DecodeFailed:
            kv.clear()
            return None
        for (slot, segment), prefix in zip(segments.items(), prefixes, strict=True):
            kv.hold(slot, prefix, segment.position)
            self._chained.pop(slot, None)
        self._cache_answers(answers)
        return answers

    def _any(self, prefixes: Sequence[Prefix]) -> dict[bytes, Answer]:
        """The answers to any prefixes: known ones, faulty ones, and the rest by the fewest tokens."""
        answers: dict[bytes, Answer] = {}
        fresh: list[Prefix] = []
        for prefix in prefixes:
            if prefix.digest in answers:
                continue
            answer: Answer | None = self._answers.get(prefix.digest) or self._fault(prefix)
            if answer is None:
                fresh.append(prefix)
            answers[prefix.digest] = answer  # type: ignore[assignment]  # those of `fresh` are filled in below
        if fresh:
            self._evaluate(fresh, answers)
            self._cache_answers(answers)
        return answers

    def _cache_answers(self, answers: dict[bytes, Answer]) -> None:
        self._answers = {digest: each for digest, each in answers.items() if isinstance(each, Distribution)}

    def _fault(self, prefix: Prefix) -> DecodekitError | None:
        """What is wrong with a prefix before any evaluation."""
        return fault_of(
            prefix,
            self._answers,
            vocab_size=self._model.vocab_size,
            context_length=self._n_ctx,
            bos_id=self._tokenizer.bos_id,
        )

    def _evaluate(self, prefixes: list[Prefix], answers: dict[bytes, Answer]) -> None:
        paths, bases = paths_of(prefixes, self._kv.index)
        while paths:
            wave, paths = self._place(paths, bases)
            try:
                self._forward(wave, answers)
            except _DecodeFailed:
                self._one_by_one(wave, answers)

    def _one_by_one(self, wave: Iterable[TokenPath], answers: dict[bytes, Answer]) -> None:
        """After a failed forward pass: start from an empty cache, each path alone, once."""
        for path in wave:
            self._kv.clear()
            try:
                self._forward(self._place([path], set())[0], answers)
            except _DecodeFailed as error:
                self._kv.clear()
                failure = OutOfMemory(f"llama.cpp could not evaluate {len(path.prefix)} tokens ({error})")
                for prefix in path.asked:
                    answers[prefix.digest] = failure

    def _place(self, paths: Sequence[TokenPath], bases: set[int]) -> tuple[list[TokenPath], list[TokenPath]]:
        """Give slots to as many paths as have room at a time; the others come later. ``bases`` are not overwritten."""
        kv, index = self._kv, self._kv.index
        wave: list[TokenPath] = []
        later: list[TokenPath] = []
        taken: set[int] = set()
        planned = 0
        for path in paths:
            if len(taken) == self._max_sequences:
                later.append(path)
                continue
            base, held = index.find(path.prefix)
            start = min(held, path.latest_start)
            need = len(path.prefix) - start
            if planned + need > kv.room or (not wave and kv.wants_compaction()):
                if wave:
                    later.append(path)
                    continue
                if base >= 0 and index.length(base) + need > self._context.cells:
                    kv.truncate(base, start)
                kv.compact(need, base, bases)
            slot = self._slot_for(base, start, taken, bases, alone=not wave)
            if slot < 0:
                later.append(path)
                continue
            path.slot, path.start, path.ids = slot, start, path.prefix.since(start)
            wave.append(path)
            taken.add(slot)
            planned += need
        return wave, later

    def _slot_for(self, base: int, start: int, taken: set[int], bases: set[int], *, alone: bool) -> int:
        """A slot that holds the first ``start`` tokens of ``base`` and no more; -1 when this wave has no free one."""
        kv, index = self._kv, self._kv.index
        free = base >= 0 and base not in taken
        tail = index.length(base) - start if free else 0
        if free and (tail <= 1 or (tail <= _LONGEST_TAIL and start >= self._chained.get(base, start + 1))):
            kv.truncate(base, start)
            return base
        spare = [slot for slot in index.oldest_first() if slot not in taken and slot != base]
        target = next((slot for slot in spare if slot not in bases), -1)
        if target < 0 and free:
            kv.truncate(base, start)
            return base
        if target < 0 and alone and spare:
            target = spare[0]
        if target >= 0:
            kv.fork(base, target, start)
        return target

    def _forward(self, wave: Sequence[TokenPath], answers: dict[bytes, Answer]) -> None:
        for portion in chunks(segments_of(wave, self._kv.index), self._rows):
            self._decode(portion, answers)
        for path in wave:
            self._kv.hold(path.slot, path.prefix, path.start)
            self._chained[path.slot] = len(path.asked[0])

    def _decode(self, segments: Collection[Segment], answers: dict[bytes, Answer]) -> None:
        """One forward pass."""
        context, kv, batch = self._context, self._kv, self._context.batch
        batch.clear()
        wanted: list[tuple[int, bytes]] = []
        for segment in segments:
            for place, digest in segment.asked:
                batch.want(batch.size + place)
                wanted.append((batch.size + place, digest))
            batch.add(segment.ids, segment.position, segment.slots)
        code = context.decode()
        if code:
            raise _DecodeFailed(f"code {code}.{recent_complaints()}")
        for segment in segments:
            kv.appended(segment.slots, len(segment.ids))
        schedule = self._schedules[batch.size]
        for row, digest in wanted:
            try:
                answers[digest] = Distribution.dense(context.logits(row), schedule=schedule)
            except DistributionError as error:
                answers[digest] = error


class _DecodeFailed(Exception):
    """A forward pass that failed in llama.cpp."""


def _require_gpu(n_gpu_layers: int) -> None:
    """Refuse layers on a GPU where llama.cpp was built without one."""
    if n_gpu_layers and not llama_cpp.llama_supports_gpu_offload():
        layers = "all layers" if n_gpu_layers < 0 else f"{n_gpu_layers} layers"
        raise ParameterError(
            f"n_gpu_layers: this build of llama.cpp has no GPU to put {layers} on; leave it at 0, or "
            "build llama-cpp-python for your GPU (CMAKE_ARGS='-DGGML_CUDA=on' for one of NVIDIA)"
        )


def _require_pinned(path: Path, sha256: str | None) -> str:
    """The fingerprint of the file; `ModelNotFound` if another one was pinned."""
    fingerprint = file_fingerprint(path)
    if sha256 is not None and fingerprint != f"sha256:{sha256.lower()}":
        raise ModelNotFound(f"{path} is not the pinned model: it has {fingerprint}, not sha256:{sha256.lower()}")
    return fingerprint
