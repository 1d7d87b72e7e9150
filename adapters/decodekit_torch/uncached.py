"""Evaluating prefixes from their first token every time, which works for anything that maps token ids to logits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch

from decodekit.errors import AdapterError
from decodekit.local.content_index import ContentIndex
from decodekit.local.paths import TokenPath, paths_of
from decodekit.model.prefix import Prefix
from decodekit_torch.forward_arguments import ForwardArguments

__all__ = ["Emit", "Shape", "Uncached", "alike", "device_of"]


class Shape(NamedTuple):
    """The shape of a forward pass.

    Attributes:
        rows: how many sequences.
        columns: how many ids of each.
        cached: whether there was a KV cache before them.
        room: the columns of buffers of fixed shape, or 0.
    """

    rows: int
    columns: int
    cached: bool
    room: int = 0


Emit = Callable[[bytes, torch.Tensor, Shape], None]
"""Takes the digest of a prefix, its logits [V] on their device, and the pass they came from."""

_NOTHING_CACHED = ContentIndex(0)


class Uncached:
    """Anything that maps token ids to logits, evaluated in full.

    Args:
        function: int64[rows, n] to logits [rows, n, V], where position t depends on the ids up to t; or to [rows, V],
            the logits after the last id. A transformers model is one too.
        tokens_per_forward: rows times columns of one pass; a longer prefix has a separate pass.
    """

    def __init__(self, function: Callable[..., Any], *, tokens_per_forward: int) -> None:
        self._function = function
        self._tokens = tokens_per_forward
        self._device = device_of(function)
        config = getattr(function, "config", None)
        arguments = ForwardArguments.of(function)
        self._transformers = config is not None and arguments.input_ids
        self._takes_keep = arguments.logits_to_keep
        self._last_only = False

    def clear(self) -> None:
        """Nothing is cached."""

    def vocab_size(self) -> int:
        """The number of tokens, from the logits after one id."""
        logits = self._pass(np.zeros((1, 1), dtype=np.int64), [0])
        return int(logits.shape[-1])

    def extend(self, prefixes: Sequence[Prefix], emit: Emit) -> bool:
        """Always False: there is no fast path."""
        return False

    def evaluate(self, prefixes: Sequence[Prefix], emit: Emit) -> None:
        """The logits after any distinct prefixes, passed to ``emit`` one by one. Rows of a pass have one length."""
        paths: Iterable[TokenPath]
        paths = [TokenPath([p]) for p in prefixes] if self._last_only else paths_of(prefixes, _NOTHING_CACHED)[0]
        for length, alike in groupby(sorted(paths, key=lambda path: len(path.prefix)), lambda path: len(path.prefix)):
            group = list(alike)
            rows = max(1, self._tokens // length)
            for low in range(0, len(group), rows):
                self._evaluate_batch(group[low : low + rows], emit)

    def _evaluate_batch(self, paths: Sequence[TokenPath], emit: Emit) -> None:
        ids = np.stack([path.prefix.since(0) for path in paths])
        columns = sorted({len(prefix) - 1 for path in paths for prefix in path.asked})
        logits = self._pass(ids, columns)
        shape = Shape(len(paths), ids.shape[1], False)
        for row, path in enumerate(paths):
            for prefix in path.asked:
                emit(prefix.digest, logits[row, columns.index(len(prefix) - 1)], shape)

    def _pass(self, ids: np.ndarray[Any, Any], columns: Sequence[int]) -> torch.Tensor:
        """The logits [rows, len(columns), V] at these columns."""
        given = torch.from_numpy(ids).to(self._device)
        if self._transformers:
            keep = {"logits_to_keep": torch.tensor(columns, device=self._device)} if self._takes_keep else {}
            output = self._function(input_ids=given, use_cache=False, return_dict=True, **keep)
            logits = getattr(output, "logits", None)
            if not isinstance(logits, torch.Tensor):
                raise AdapterError(
                    f"{type(self._function).__name__} gives no logits; load it with its language-model head, "
                    "as transformers' AutoModelForCausalLM does"
                )
            return logits if keep else logits[:, list(columns)]
        answer = self._function(given)
        answer = getattr(answer, "logits", answer)
        if not isinstance(answer, torch.Tensor) or answer.ndim not in (2, 3) or len(answer) != len(ids):
            what = tuple(answer.shape) if isinstance(answer, torch.Tensor) else type(answer).__name__
            raise AdapterError(f"the model maps ids {ids.shape} to logits [rows, n, V] or [rows, V], not to {what}")
        if answer.ndim == 2:
            self._last_only = True
            return answer[:, None]
        if answer.shape[1] != ids.shape[1]:
            raise AdapterError(f"the model gave logits at {answer.shape[1]} positions for {ids.shape[1]} ids")
        return answer[:, list(columns)]


def device_of(function: Any) -> torch.device:
    """The device for a model's ids."""
    if hasattr(function, "get_input_embeddings"):
        embeddings = function.get_input_embeddings()
        if isinstance(getattr(embeddings, "weight", None), torch.Tensor):
            return embeddings.weight.device  # type: ignore[no-any-return]
    if isinstance(function, torch.nn.Module):
        tensor = next(iter(function.parameters()), None)
        return torch.device("cpu") if tensor is None else tensor.device
    return torch.device("cpu")


def alike(got: Mapping[bytes, torch.Tensor], expected: Mapping[bytes, torch.Tensor], *, slack: float = 0.01) -> bool:
    """Whether logits are equal except for rounding. NaN counts as equal: a broken model reports that itself.

    Args:
        got, expected: logits [V] by the digest of their prefix.
        slack: the largest difference, in standard deviations of a row; 0.3 for rows in half precision.
    """
    for digest, logits in expected.items():
        if not torch.isfinite(logits).all():
            return True
        most = (slack if logits.dtype in (torch.float32, torch.float64) else 0.3) * float(logits.double().std())
        if not float((got[digest].double() - logits.double()).abs().max()) <= most:
            return False
    return True
