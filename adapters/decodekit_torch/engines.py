"""What evaluates which model: with a cache, in full every time, or as one that is random itself."""

from __future__ import annotations

import sys
from typing import Any

from decodekit.log import get_logger
from decodekit_torch.noisy import is_noisy
from decodekit_torch.whole import Whole

__all__ = ["engine_for"]


def engine_for(
    module: Any, *, stochastic: bool | None, max_sequences: int, cells: int, tokens_per_forward: int, compiled: bool,
    limit: int | None,
) -> tuple[Any, int]:  # fmt: skip
    """What evaluates the model, None for a stochastic one, and the size of its vocabulary.

    Args:
        module: a module or function.
        stochastic: whether its own noise is left on; None to see for oneself.
        max_sequences, cells, tokens_per_forward, compiled: as the adapter has them.
        limit: the longest prefix, or None.
    """
    whole = Whole(module, tokens_per_forward=tokens_per_forward)
    vocab_size = whole.vocab_size()
    noisy = stochastic or (stochastic is None and is_noisy(whole, vocab_size))
    if not noisy and _is_transformers(module):
        from decodekit_torch.cached import Cached
        from decodekit_torch.stage import Stages
        from decodekit_torch.trust import can_cache

        stages = None
        if compiled and can_cache(module, vocab_size, on_stages=True):
            stages = Stages(module, rows=max_sequences, limit=limit, compiled=True)
        if stages is not None or can_cache(module, vocab_size):
            if compiled and stages is None:
                get_logger().warning("this model is not compiled: in fixed shapes it answers differently")
            engine = Cached(
                module, slots=max_sequences, cells=cells, tokens_per_forward=tokens_per_forward, stages=stages
            )
            return engine, vocab_size
    if compiled:
        module.compile(dynamic=True)
    return None if noisy else whole, vocab_size


def _is_transformers(module: Any) -> bool:
    library = sys.modules.get("transformers")
    return library is not None and isinstance(module, library.PreTrainedModel)
