"""Which models can be evaluated with a KV cache: by the kinds of their layers, and by a test of their answers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from decodekit.model.prefix import Prefix
from decodekit_torch.cached import Cached
from decodekit_torch.fixed_shapes import FixedShapes
from decodekit_torch.forward_arguments import ForwardArguments
from decodekit_torch.loading import out_of_memory
from decodekit_torch.uncached import Emit, Shape, Uncached, alike

__all__ = ["why_not_cached"]

_WINDOW = 3  # less than half of the long sequence
_DIFFERS = "with a KV cache its answers were different in a test"
Logits = dict[bytes, torch.Tensor]


def why_not_cached(module: Any, vocab_size: int, *, in_fixed_shapes: bool = False) -> str | None:
    """Why a model cannot be evaluated with `Cached`; None when it can.

    It can when its layers need only the keys and values of past tokens, and when a test gave the same answers with a
    cache as without one.

    A sliding window has an effect only in sequences longer than itself, and evaluating thousands of tokens would take
    long. So the windows of the model are reduced to a few tokens during the test. If that does not change the answers
    without a cache, the test would prove nothing, and the cache is not used.

    Args:
        module: the model.
        vocab_size: of its vocabulary.
        in_fixed_shapes: whether steps of generation will be evaluated in fixed shapes.

    Raises:
        RuntimeError: torch has no memory for the test.
    """
    arguments = ForwardArguments.of(module)
    if not arguments.cache:
        return "its forward has no argument for a KV cache"
    if not arguments.attention_mask:
        return "its forward has no attention_mask"
    if in_fixed_shapes and not arguments.position_ids:
        return "its forward has no position_ids"
    config = module.config.get_text_config(decoder=True)
    if getattr(config, "attention_chunk_size", None) is not None:
        return "its attention is chunked"
    layers = _layers(module.config)
    foreign = {type(each).__name__ for each in layers if type(each) not in (DynamicLayer, DynamicSlidingWindowLayer)}
    if foreign or not layers:
        return f"its layers keep more than keys and values ({', '.join(sorted(foreign)) or 'they are not known'})"
    if not any(layer.is_sliding for layer in layers):
        return _difference(module, vocab_size, in_fixed_shapes)
    wide = _without_cache(module, [_long(vocab_size)])
    with _windows_of(module, _WINDOW):
        narrow = _without_cache(module, [_long(vocab_size)])
        if alike(narrow, wide):
            return "its sliding window could not be made small enough to test the cache"
        return _difference(module, vocab_size, in_fixed_shapes)


def _long(vocab_size: int) -> Prefix:
    return Prefix((7 * i + 7) % vocab_size for i in range(7))


def _difference(module: Any, vocab_size: int, in_fixed_shapes: bool) -> str | None:
    """Two short sequences of different length, continued and rolled back, compared with a full evaluation."""
    shapes = FixedShapes(module, rows=2, limit=16, compiled=False) if in_fixed_shapes else None
    cached = Cached(module, slots=4, cells=1024, tokens_per_forward=64, shapes=shapes)
    long, short = _long(vocab_size), Prefix((7 * i + 4) % vocab_size for i in range(4))
    calls = [[long, short], [long.extend([0]), short.extend([0])], [short.extend([1 % vocab_size]), long]]
    for call in calls:
        got: Logits = {}
        try:
            cached.evaluate(call, _into(got))
        except Exception as error:  # a model, or a version of transformers, that needs another kind of cache
            if out_of_memory(error):
                raise
            return f"with a KV cache it raised {type(error).__name__}: {error}"
        if not alike(got, _without_cache(module, call)):
            return _DIFFERS
    return None


def _without_cache(module: Any, prefixes: Sequence[Prefix]) -> Logits:
    found: Logits = {}
    Uncached(module, tokens_per_forward=64).evaluate(prefixes, _into(found))
    return found


def _into(found: Logits) -> Emit:
    def emit(digest: bytes, logits: torch.Tensor, shape: Shape) -> None:
        found[digest] = logits

    return emit


def _layers(config: Any) -> list[Any]:
    """A layer of transformers' cache for each layer of the model; empty where the config does not say."""
    try:
        return list(DynamicCache(config=config).layers)
    except (AttributeError, KeyError, TypeError, ValueError):
        return []


@contextlib.contextmanager
def _windows_of(module: Any, size: int) -> Iterator[None]:
    """Inside this context, all sliding windows of a model have this size."""
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
