"""`TorchAdapter`: answers prefixes with the logits of a torch model, evaluating as few tokens as it can."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Annotated, Any, Literal

import torch
from pydantic import Field

from decodekit.distribution import Distribution, Origin, Schedule
from decodekit.distribution.disclosure import ALL, CHEAP, Disclosure, for_each
from decodekit.draw.randomness import Randomness
from decodekit.errors import AdapterError, ConfigError, DecodekitError, OutOfMemory, ParameterError
from decodekit.local.exclusive import Exclusive
from decodekit.local.paths import cached_length, fault_of
from decodekit.local.process import require_threads
from decodekit.model.adapter import AdapterInfo, Answer
from decodekit.model.pickling import OfOneProcess
from decodekit.model.prefix import Prefix
from decodekit.plugin import parameter_model, validated
from decodekit.text.tokenizer import Tokenizer
from decodekit_torch.answers import KeptRow, disclosed, whole_row
from decodekit_torch.computing import computing, repeats_its_bits
from decodekit_torch.description import context_length, device_type, eos_of, setting, versions
from decodekit_torch.engines import choose_engine
from decodekit_torch.loading import Loaded, free_unused_memory, given, load, move, out_of_memory
from decodekit_torch.stochastic import Mixture, Stochastic, generators_kept
from decodekit_torch.uncached import Shape

__all__ = ["TorchAdapter"]

_HEAD = 64


class TorchAdapter(OfOneProcess):
    """An `Adapter` for a torch model.

    Args:
        model: a transformers folder, a model of the hub (``org/repo``, ``hf:org/repo@revision``), a ``.gguf`` file, or
            the name of an installed model package such as ``smollm2``. From Python also a module or function: a
            transformers causal LM, or anything that maps token ids int64[rows, n] to logits [rows, n, V] (position t
            depends on the ids up to t) or [rows, V].
        tokenizer: 'auto' takes the one in the model's folder; None for none; from Python also a transformers tokenizer
            or a `decodekit.text.tokenizer.Tokenizer`.
        n_ctx: the longest prefix in tokens; the model's positions by default.
        max_sequences: how many sequences are kept in the cache at a time.
        cells: how many tokens the cache holds in all; a single prefix may exceed it.
        tokens_per_forward: the most rows times columns of one forward pass; a long prompt is evaluated in portions.
        dtype: of the weights; 'auto' is what the files say, and float32 for a GGUF file.
        device: where the model goes, 'cuda:0' for instance; it stays where it is by default.
        device_map: passed to transformers unchanged.
        attn_implementation: passed to transformers unchanged.
        allow_downloads: whether a hub id may be fetched; otherwise it must be in the hub's cache.
        sha256: refuse a model whose ``info.model_fingerprint`` is not this one: of its GGUF file, or over the names and
            digests of its configuration and its weights.
        head: how many of the most likely tokens `CHEAP` gives, computed on the device of the logits; the rest of the
            row stays there until it is requested. By default the whole row on the CPU, and 64 tokens elsewhere.
        stochastic: whether the model's own noise stays on, as in a module with dropout in training mode. By default a
            module from Python is called twice, and is stochastic if its answers differ.
        passes: of a stochastic model, how many passes are averaged for an answer; `mixture` gives the standard error.
        noise_seed: of a stochastic model; a fresh one by default, recorded in every distribution's schedule.
        deterministic: make torch use deterministic algorithms; an operation without one is an error. On CUDA
            this needs ``CUBLAS_WORKSPACE_CONFIG`` to be set before the process first uses the GPU.
        compile: run steps of generation through `torch.compile` in fixed shapes, as CUDA graphs on a GPU; prompts are
            evaluated uncompiled. A model without a KV cache is compiled as a whole. The first passes take long.

    Code in a model's folder is never run, and no setting changes that.

    Raises:
        ParameterError: a parameter is out of range.
        ModelNotFound: there is no such model, it is incomplete, or it cannot be loaded.
        ConfigError: a library is missing, or tokenizer and model do not belong together.
        OutOfMemory: there is no room for the model.
    """

    def __init__(
        self,
        *,
        model: Any,
        tokenizer: Any = "auto",
        n_ctx: Annotated[int, Field(ge=1, le=16_777_216)] | None = None,
        max_sequences: Annotated[int, Field(ge=1, le=4096)] = 32,
        cells: Annotated[int, Field(ge=1, le=16_777_216)] = 32_768,
        tokens_per_forward: Annotated[int, Field(ge=1, le=1_048_576)] = 512,
        dtype: Literal["auto", "float32", "float16", "bfloat16", "float64"] = "auto",
        device: Annotated[str, Field(min_length=1, max_length=100)] | None = None,
        device_map: Annotated[str, Field(min_length=1, max_length=100)] | None = None,
        attn_implementation: Annotated[str, Field(min_length=1, max_length=100)] | None = None,
        allow_downloads: bool = False,
        sha256: Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$", max_length=64)] | None = None,
        head: Annotated[int, Field(ge=1, le=1_048_576)] | None = None,
        stochastic: bool | None = None,
        passes: Annotated[int, Field(ge=1, le=65_536)] = 1,
        noise_seed: Annotated[int, Field(ge=0, le=2**64 - 1)] | None = None,
        deterministic: bool = False,
        compile: bool = False,  # noqa: A002 - torch calls it that
    ) -> None:
        if isinstance(model, os.PathLike):
            model = os.fsdecode(model)
        parameters = {key: value for key, value in locals().items() if key != "self"}
        validated(parameter_model(type(self)), parameters, "adapter 'torch'")
        if device is not None and device_map is not None:
            raise ParameterError("adapter 'torch': device and device_map both place the model; give only one of them")
        require_threads("torch", torch.get_num_threads())
        loaded = _loaded(
            model, device=device, with_tokenizer=tokenizer == "auto", allow_downloads=allow_downloads,
            dtype=dtype, device_map=device_map, attn_implementation=attn_implementation, sha256=sha256,
        )  # fmt: skip
        module: Any = loaded.module
        if compile and not isinstance(module, torch.nn.Module):
            raise ParameterError("adapter 'torch': compile is for modules; give a compiled function instead")
        if stochastic and isinstance(model, str):
            module.train()
        self._module, self._closed, self._in_use = module, False, Exclusive()
        self._deterministic, self._compile = deterministic, compile
        self._n_ctx = context_length(module, n_ctx)
        with self._computing(), generators_kept():
            chosen = choose_engine(
                module, stochastic=bool(stochastic) if isinstance(model, str) else stochastic,
                max_sequences=max_sequences, cells=cells, tokens_per_forward=tokens_per_forward,
                compiled=compile, limit=self._n_ctx,
            )  # fmt: skip
        self._engine, self._vocab_size = chosen.engine, chosen.vocab_size
        self._capabilities = chosen.capabilities(compiled=compile)
        self.caches = self._capabilities["kv_cache"] is True
        noise = self._start_noise(passes, noise_seed)
        self._origin: Origin = "logprobs" if noise and passes > 1 else "logits"
        self._tokenizer = self._tokenizer_for(tokenizer, loaded)
        self._answers: dict[bytes, Distribution | KeptRow] = {}
        self._schedules: dict[Shape, Schedule] = {}
        self.settings = {**setting(module), **noise}
        self._head = self._head_for(head)
        name = model if isinstance(model, str) else type(model).__name__
        self._info = self._described(name, loaded, stochastic=bool(noise), concurrency=max_sequences)

    def _described(self, name: str, loaded: Loaded, *, stochastic: bool, concurrency: int) -> AdapterInfo:
        device = device_type(self._module)
        return AdapterInfo(
            name="torch",
            model=name,
            model_fingerprint=loaded.fingerprint,
            tokenizer_fingerprint=self._tokenizer.fingerprint if self._tokenizer is not None else "",
            vocab_size=self._vocab_size,
            context_length=self._n_ctx,
            cheap=ALL if self._head is None else Disclosure(top=min(self._head, self._vocab_size)),
            most=ALL,
            stage="raw",
            origin=self._origin,
            deterministic=device is not None and repeats_its_bits(device, deterministic=self._deterministic),
            concurrency=concurrency,
            stochastic=stochastic,
            versions={**versions(), **loaded.versions},
        )

    def _start_noise(self, passes: int, noise_seed: int | None) -> dict[str, int | str]:
        """What the record needs to know of a stochastic model's noise; nothing for other models.

        Raises:
            ParameterError: there are settings for noise, and the model has none.
        """
        if self._engine is not None:
            if passes > 1 or noise_seed is not None:
                raise ParameterError("adapter 'torch': passes and noise_seed are for a stochastic model; this is none")
            return {}
        seed = Randomness(noise_seed).seed
        self._engine = Stochastic(self._module, seed=seed, passes=passes)
        return {"passes": passes, "noise_seed": seed}

    def _head_for(self, head: int | None) -> int | None:
        """How many tokens `CHEAP` gives; None for whole rows. The mean of several passes is on the CPU already."""
        if self._origin == "logprobs":
            return None
        return head if head is not None or device_type(self._module) in (None, "cpu") else _HEAD

    @property
    def info(self) -> AdapterInfo:
        """The properties of this adapter."""
        return self._info

    @property
    def capabilities(self) -> Mapping[str, bool | str]:
        """What works fully and what does not, with the reason: ``kv_cache``, and ``compiled`` if requested.

        Without a KV cache every prefix is evaluated from its first token.
        """
        return dict(self._capabilities)

    @property
    def module(self) -> Any:
        """The torch module or function; None once the adapter is closed."""
        return self._module

    @property
    def tokenizer(self) -> Tokenizer | None:
        """The tokenizer of the model's folder, or the one that was given."""
        return self._tokenizer

    def predict(self, prefixes: Sequence[Prefix], disclose: Disclosure | Sequence[Disclosure] = CHEAP) -> list[Answer]:
        """The distribution after each prefix, or that prefix's own error.

        On the CPU the whole vocabulary is disclosed, whatever was requested; with ``head``, as much as requested.

        Raises:
            AdapterError: the adapter is closed, or the model broke down.
        """
        with self._in_use.lock:
            self._require_open()
            try:
                with self._computing():
                    answers = self._next_tokens(prefixes) or self._any(prefixes)
                    if self._head is not None:
                        return disclosed(
                            prefixes, for_each(disclose, len(prefixes)), answers,
                            head=self._head, vocab_size=self._vocab_size, origin=self._origin,
                        )  # fmt: skip
            except BaseException:  # an interrupt too: the content of the cache is unknown
                if not self._closed:  # a signal handler may have closed it
                    self._engine.clear()
                raise
        return [answers[prefix.digest] for prefix in prefixes]  # type: ignore[misc]  # rows are kept for heads only

    def cached_tokens(self, prefix: Prefix) -> int | None:
        """How many leading tokens of a prefix need no evaluation now; None while another thread computes."""
        if self._closed:
            return None
        index = self._engine.index if self.caches else None
        return self._in_use.if_free(lambda: cached_length(prefix, index, self._answers))

    def mixture(self, prefix: Prefix, passes: int = 64) -> Mixture:
        """The average of a stochastic model's distribution over many passes, with its standard error.

        Args:
            prefix: the prefix.
            passes: how many, 2 to 65,536.

        Raises:
            ParameterError: the model is not stochastic, or the number is out of range.
            AdapterError: the adapter is closed.
            DecodekitError: what is wrong with the prefix.
        """
        if not 2 <= passes <= 65_536:
            raise ParameterError(f"passes: a standard error needs 2 to 65536 passes, not {passes}")
        if (fault := self._fault(prefix)) is not None:
            raise fault
        with self._in_use.lock:
            self._require_open()
            if isinstance(self._engine, Stochastic):
                with self._computing():
                    return self._engine.mixture(prefix, passes)
        raise ParameterError("this model is not stochastic: every pass gives the same distribution")

    def close(self) -> None:
        """Release the model and its cache, after the call that is running. Closing twice does nothing."""
        with self._in_use.lock:
            self._closed, self._answers = True, {}
            self._engine = self._module = None

    def _next_tokens(self, prefixes: Sequence[Prefix]) -> dict[bytes, Answer | KeptRow] | None:
        """The most common call, without a plan: each prefix is one token longer than a row of the cache."""
        for prefix in prefixes:
            length = len(prefix)
            if (
                length < 2
                or (self._n_ctx is not None and length > self._n_ctx)
                or prefix.since(length - 1)[0] >= self._vocab_size
                or prefix.digest in self._answers
            ):
                return None
        answers: dict[bytes, Answer | KeptRow] = {}
        try:
            if not prefixes or not self._engine.extend(prefixes, self._into(answers)):
                return None
        except Exception as error:
            if not out_of_memory(error):
                raise
            self._shrink()
            return None
        self._cache_answers(answers)
        return answers

    def _any(self, prefixes: Sequence[Prefix]) -> dict[bytes, Answer | KeptRow]:
        """The answers to any prefixes: known ones, faulty ones, and the rest by the fewest tokens."""
        answers: dict[bytes, Answer | KeptRow] = {}
        fresh: dict[bytes, Prefix] = {}
        for prefix in prefixes:
            answer: Answer | KeptRow | None = self._answers.get(prefix.digest) or self._fault(prefix)
            if answer is None:
                fresh[prefix.digest] = prefix
            else:
                answers[prefix.digest] = answer
        if fresh:
            self._evaluate(list(fresh.values()), answers)
            self._cache_answers(answers)
        return answers

    def _fault(self, prefix: Prefix) -> DecodekitError | None:
        """What is wrong with a prefix before any evaluation."""
        bos_id = None if self._tokenizer is None else self._tokenizer.bos_id
        return fault_of(prefix, self._answers, vocab_size=self._vocab_size, context_length=self._n_ctx, bos_id=bos_id)

    def _evaluate(self, prefixes: list[Prefix], answers: dict[bytes, Answer | KeptRow]) -> None:
        """All at once; if there is no room, from an empty cache and each alone, once."""
        try:
            self._engine.evaluate(prefixes, self._into(answers))
            return
        except Exception as error:
            if not out_of_memory(error):
                raise
            self._shrink()
        for prefix in prefixes:
            if prefix.digest in answers:
                continue
            try:
                self._engine.evaluate([prefix], self._into(answers))
            except Exception as error:
                if not out_of_memory(error):
                    raise
                self._shrink()
                answers[prefix.digest] = OutOfMemory(f"there is no room to evaluate {len(prefix)} tokens: {error}")

    def _shrink(self) -> None:
        self._engine.clear()
        free_unused_memory()

    def _into(self, answers: dict[bytes, Answer | KeptRow]) -> Callable[[bytes, torch.Tensor, Shape], None]:
        def emit(digest: bytes, logits: torch.Tensor, shape: Shape) -> None:
            if self._head is not None:
                # A function may overwrite its buffer; the output of a transformers model belongs to the caller.
                row = logits if isinstance(self._module, torch.nn.Module) else logits.clone()
                answers[digest] = KeptRow(row, self._schedule(shape))
            else:
                answers[digest] = whole_row(logits, self._origin, self._schedule(shape))

        return emit

    def _schedule(self, shape: Shape) -> Schedule:
        known = self._schedules.get(shape)
        if known is None:
            threads = torch.get_num_threads()
            known = {"rows": shape.rows, "columns": shape.columns, "cached": int(shape.cached), "threads": threads}
            room = {"room": shape.room} if shape.room else {}
            known = self._schedules[shape] = {**known, **room, **self.settings}
        return known

    def _cache_answers(self, answers: dict[bytes, Answer | KeptRow]) -> None:
        self._answers = {digest: each for digest, each in answers.items() if isinstance(each, Distribution | KeptRow)}

    def _require_open(self) -> None:
        if self._closed:
            raise AdapterError("this adapter is closed")
        self._in_use.require_whole("torch")
        require_threads("torch", torch.get_num_threads())

    def _computing(self) -> AbstractContextManager[None]:
        return computing(deterministic=self._deterministic, compiled=self._compile)

    def _tokenizer_for(self, given: Any, loaded: Loaded) -> Tokenizer | None:
        own = loaded.tokenizer if given == "auto" else given
        if own is None:
            return None
        if isinstance(own, str):
            raise ParameterError(f"adapter 'torch': tokenizer is 'auto', None or an object, not {own!r}")
        if hasattr(own, "token_bytes"):
            if own.vocab_size > self._vocab_size:
                raise ConfigError(
                    f"the tokenizer has {own.vocab_size} tokens and the model only {self._vocab_size}: "
                    "they do not belong together"
                )
            return own  # type: ignore[no-any-return]
        from decodekit_torch.tokenizer import TransformersTokenizer

        return TransformersTokenizer(
            own,
            vocab_size=self._vocab_size,
            eos_ids=[*eos_of(self._module), *loaded.eos_ids],
            unused=loaded.unused if given == "auto" else (),
        )


def _loaded(model: Any, *, device: str | None, with_tokenizer: bool, allow_downloads: bool, **placement: Any) -> Loaded:
    """A model by its name, or one in memory already, on the device. Raises `OutOfMemory` where there is no room."""
    try:
        if isinstance(model, str):
            loaded = load(model, allow_downloads=allow_downloads, with_tokenizer=with_tokenizer, **placement)
        else:
            loaded = given(model, **placement)
        if device is not None:
            move(loaded.module, device)
    except Exception as error:
        if out_of_memory(error):
            raise OutOfMemory(f"there is no room for the model: {error}") from error
        raise
    return loaded
