"""Which arguments a model's ``forward`` takes: transformers renames them, so they are looked up and not assumed."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

__all__ = ["ForwardArguments"]

_CACHE = ("cache", "past_key_values")  # since transformers 5.24, and before


@dataclass(frozen=True, slots=True)
class ForwardArguments:
    """What a module can be called with; all False for a plain function.

    Attributes:
        input_ids: whether it takes ids by that name, as models of transformers do.
        attention_mask: whether it accepts a mask of the padding columns.
        position_ids: whether it accepts the position of each column.
        logits_to_keep: whether it accepts the columns at which logits are needed.
        cache: the name of the argument that takes the KV cache; '' when there is none.
    """

    input_ids: bool = False
    attention_mask: bool = False
    position_ids: bool = False
    logits_to_keep: bool = False
    cache: str = ""

    @classmethod
    def of(cls, function: Any) -> ForwardArguments:
        """The arguments of a module's ``forward``."""
        names = inspect.signature(function.forward).parameters if hasattr(function, "forward") else {}
        return cls(
            input_ids="input_ids" in names,
            attention_mask="attention_mask" in names,
            position_ids="position_ids" in names,
            logits_to_keep="logits_to_keep" in names,
            cache=next((name for name in _CACHE if name in names), ""),
        )
