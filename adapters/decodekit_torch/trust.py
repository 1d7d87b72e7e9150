"""Which models have a past that can be kept as keys and values: by their kind, and by what they were seen to answer."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from decodekit.model.prefix import Prefix
from decodekit_torch.cached import Cached
from decodekit_torch.stage import Stages
from decodekit_torch.whole import Emit, Shape, Whole

__all__ = ["can_cache"]

_WINDOW = 3  # less than half of the long sequence
Rows = dict[bytes, torch.Tensor]


def can_cache(module: Any, vocab_size: int, *, on_stages: bool = False) -> bool:
    """Whether a model can be asked through `Cached`: its cache is plain, and it was seen to answer as without one.

    A sliding window shows in sequences longer than itself only, and evaluating thousands of tokens would take long: so
    the windows of the model are made smaller than a few tokens for the time of the test. Where that does not change
    what the model answers without a cache, the test would prove nothing, and the model is not trusted.

    Args:
        module: the model.
        vocab_size: of its vocabulary.
        on_stages: whether steps of generation are to be evaluated in fixed shapes.
    """
    known = inspect.signature(module.forward).parameters
    if "past_key_values" not in known or "attention_mask" not in known or not _is_plain(module.config):
        return False
    if on_stages and "position_ids" not in known:
        return False
    if not _has_windows(module.config):
        return _agrees(module, vocab_size, on_stages)
    wide = _without_cache(module, [_long(vocab_size)])
    with _windows_of(module, _WINDOW):
        narrow = _without_cache(module, [_long(vocab_size)])
        return not _alike(narrow, wide) and _agrees(module, vocab_size, on_stages)


def _long(vocab_size: int) -> Prefix:
    return Prefix((7 * i + 7) % vocab_size for i in range(7))


def _agrees(module: Any, vocab_size: int, on_stages: bool) -> bool:
    """Two short sequences of different length, continued and rolled back, against evaluating each from nothing."""
    stages = Stages(module, rows=2, limit=16, compiled=False) if on_stages else None
    cached = Cached(module, slots=4, cells=1024, tokens_per_forward=64, stages=stages)
    long, short = _long(vocab_size), Prefix((7 * i + 4) % vocab_size for i in range(4))
    calls = [[long, short], [long.extend([0]), short.extend([0])], [short.extend([1 % vocab_size]), long]]
    for call in calls:
        got: Rows = {}
        try:
            cached.evaluate(call, _into(got))
        except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
            if not on_stages or isinstance(error, torch.OutOfMemoryError):
                raise
            return False  # the model wants the length of its past as a number, say
        if not _alike(got, _without_cache(module, call)):
            return False
    return True


def _without_cache(module: Any, prefixes: Sequence[Prefix]) -> Rows:
    found: Rows = {}
    Whole(module, tokens_per_forward=64).evaluate(prefixes, _into(found))
    return found


def _alike(got: Rows, expected: Rows) -> bool:
    """Whether logits are the same but for rounding. A broken model is broken either way, and says so when asked."""
    for digest, logits in expected.items():
        if not torch.isfinite(logits).all():
            return True
        slack = (0.01 if logits.dtype in (torch.float32, torch.float64) else 0.3) * float(logits.double().std())
        if not float((got[digest].double() - logits.double()).abs().max()) <= slack:
            return False
    return True


def _into(found: Rows) -> Emit:
    def emit(digest: bytes, logits: torch.Tensor, shape: Shape) -> None:
        found[digest] = logits

    return emit


def _is_plain(config: Any) -> bool:
    """Whether keys and values of every token are all that a model's layers know of their past.

    Then they can all be kept, and any token can be taken back. A sliding window is a matter of the attention mask,
    which the model makes to fit what the cache says it holds. State spaces and what else folds its past are not plain,
    nor is chunked attention.
    """
    if getattr(config, "is_encoder_decoder", False):
        return False
    if getattr(config.get_text_config(decoder=True), "attention_chunk_size", None) is not None:
        return False
    layers = _layers(config)
    return bool(layers) and all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)


def _has_windows(config: Any) -> bool:
    """Whether some of a plain model's layers look back over a sliding window only."""
    return any(layer.is_sliding for layer in _layers(config))


def _layers(config: Any) -> list[Any]:
    try:
        return list(DynamicCache(config=config).layers)
    except (AttributeError, KeyError, TypeError, ValueError):
        return []


@contextlib.contextmanager
def _windows_of(module: Any, size: int) -> Iterator[None]:
    """For the time of a block, all sliding windows of a model are of this size."""
    owners = [module.config.get_text_config(decoder=True), *module.modules()]
    owners += [part.config for part in module.modules() if hasattr(part, "config")]
    before = [(each, each.sliding_window) for each in owners if isinstance(getattr(each, "sliding_window", None), int)]
    try:
        for owner, _ in before:
            owner.sliding_window = size
        yield
    finally:
        for owner, own_size in before:
            owner.sliding_window = own_size
