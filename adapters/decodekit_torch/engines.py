"""The choice of how to evaluate a model: with a KV cache, in full every time, or as a stochastic model."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import torch

from decodekit.errors import ParameterError
from decodekit.log import get_logger
from decodekit.model.prefix import Prefix
from decodekit_torch.stochastic import is_stochastic
from decodekit_torch.uncached import Shape, Uncached, alike

__all__ = ["EngineChoice", "choose_engine"]


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """How a model is evaluated.

    Attributes:
        engine: the object with `evaluate` and `extend`; None for a stochastic model.
        vocab_size: how many tokens the model has.
        uncached: why there is no KV cache and every prefix is evaluated from its first token; '' when there is one.
        uncompiled: why steps are not compiled although it was requested; '' otherwise.
    """

    engine: Any
    vocab_size: int
    uncached: str = ""
    uncompiled: str = ""

    def capabilities(self, *, compiled: bool) -> dict[str, bool | str]:
        """Whether there is a KV cache and, if requested, compiled steps; or why not."""
        found: dict[str, bool | str] = {"kv_cache": not self.uncached or f"no: {self.uncached}"}
        if compiled:
            found["compiled"] = not self.uncompiled or f"no: {self.uncompiled}"
        return found


def choose_engine(
    module: Any, *, stochastic: bool | None, max_sequences: int, cells: int, tokens_per_forward: int, compiled: bool,
    limit: int | None,
) -> EngineChoice:  # fmt: skip
    """Choose how to evaluate the model. Unexpectedly slow choices are logged once.

    Args:
        module: a module or function.
        stochastic: whether its own noise stays on; None to find out.
        max_sequences, cells, tokens_per_forward, compiled: as the adapter has them.
        limit: the longest prefix, or None.

    Raises:
        ParameterError: it is not a causal language model.
    """
    require_decoder(module)
    uncached = Uncached(module, tokens_per_forward=tokens_per_forward)
    vocab_size = uncached.vocab_size()
    if stochastic or (stochastic is None and is_stochastic(uncached, vocab_size)):
        if compiled:
            module.compile(dynamic=True)
        return EngineChoice(None, vocab_size, uncached="the model is stochastic")
    _require_causal(uncached, vocab_size)
    if not is_transformers(module):
        if compiled:
            module.compile(dynamic=True)
        return EngineChoice(uncached, vocab_size, uncached="it is not a model of transformers")
    reason = why = _why_not_cached(module, vocab_size, in_fixed_shapes=compiled)
    if compiled and why is not None:
        reason = _why_not_cached(module, vocab_size, in_fixed_shapes=False)
    if reason is not None:
        get_logger().warning(
            "no KV cache: every prefix is evaluated from its first token", model=type(module).__name__, reason=reason
        )
        if compiled:
            module.compile(dynamic=True)
        return EngineChoice(uncached, vocab_size, uncached=reason)
    from decodekit_torch.cached import Cached
    from decodekit_torch.fixed_shapes import FixedShapes

    if compiled and why is not None:
        get_logger().warning("steps are not compiled", model=type(module).__name__, reason=why)
    shapes = FixedShapes(module, rows=max_sequences, limit=limit, compiled=True) if compiled and why is None else None
    engine = Cached(module, slots=max_sequences, cells=cells, tokens_per_forward=tokens_per_forward, shapes=shapes)
    return EngineChoice(engine, vocab_size, uncompiled=why or "")


def is_transformers(module: Any) -> bool:
    """Whether this is a model of transformers."""
    library = sys.modules.get("transformers")
    return library is not None and isinstance(module, library.PreTrainedModel)


def require_decoder(module: Any) -> None:
    """Refuse an encoder-decoder: its answer also depends on a source text, which a prefix does not hold.

    Raises:
        ParameterError: the module is one.
    """
    if getattr(getattr(module, "config", None), "is_encoder_decoder", False) is True:
        raise ParameterError(
            f"adapter 'torch': model: {type(module).__name__} is an encoder-decoder, whose answer depends on a source "
            "text as well as on the prefix; give a function of the decoder's ids with the source fixed, such as "
            "model=lambda ids: module(encoder_outputs=module.get_encoder()(source).to_tuple(), decoder_input_ids=ids)"
        )


def _require_causal(uncached: Uncached, vocab_size: int) -> None:
    """Refuse a model whose logits at a position depend on later ids, as those of a masked language model do.

    A causal model may differ by rounding, and a mixture of experts by more where rounding sends a token to another
    expert; that does not happen with every continuation.
    """
    prefix = Prefix((7 * i + 3) % vocab_size for i in range(4))
    seen: list[dict[bytes, torch.Tensor]] = []
    for ending in range(4):
        found: dict[bytes, torch.Tensor] = {}

        def emit(digest: bytes, logits: torch.Tensor, _: Shape, found: dict[bytes, torch.Tensor] = found) -> None:
            found[digest] = logits.clone()

        uncached.evaluate(
            [prefix, prefix.extend([(ending * (vocab_size // 4) + i) % vocab_size for i in (0, 1)])], emit
        )
        seen.append({prefix.digest: found[prefix.digest]})
    if not any(alike(seen[0], other, slack=1e-4) for other in seen[1:]):
        raise ParameterError(
            "adapter 'torch': model: its logits after an id depend on later ids, so it is not a causal "
            "language model (a masked language model is not; some have a setting such as is_decoder=True)"
        )


def _why_not_cached(module: Any, vocab_size: int, *, in_fixed_shapes: bool) -> str | None:
    try:
        from decodekit_torch.cache_check import why_not_cached
    except ImportError as error:  # a version of transformers whose cache has other names
        return f"the cache of this transformers is not known ({error})"
    return why_not_cached(module, vocab_size, in_fixed_shapes=in_fixed_shapes)
