"""mlx-lm: ``make_logits_processors`` and ``make_sampler``."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from decodekit.plugin.presets import Part, Preset, Recipe
from decodekit_presets.shared import (
    GREEDY,
    MULTINOMIAL,
    Bias,
    Length,
    Penalty,
    Probability,
    Temperature,
    TokenIdTuple,
    listed,
    part,
    penalties,
    top_p,
)

__all__ = ["MlxLm"]

_CUTS = ("top_p", "min_p", "xtc_probability", "top_k")


class MlxLm(Preset):
    """mlx-lm: bias, repetition, presence, frequency; top_p, min_p, XTC, top_k; and the temperature last.

    Each penalty has its own window over prompt and output, 20 tokens by default. As in mlx-lm, the temperature is 0 by
    default: greedy, and the truncations are dropped.
    Source: mlx-lm 0.32.2 ``sample_utils.py``.
    """

    versions: ClassVar[tuple[str, ...]] = ("0.32.2",)
    aliases: ClassVar[dict[str, str]] = {"temperature": "temp", "xtc": "xtc_probability"}

    temp: Temperature = 0.0
    top_p: Probability = 0.0
    min_p: Probability = 0.0
    min_tokens_to_keep: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    top_k: Length = 0
    xtc_probability: Probability = 0.0
    xtc_threshold: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    xtc_special_tokens: TokenIdTuple = ()
    logit_bias: Bias = Field(default_factory=dict)
    repetition_penalty: Annotated[float, Field(ge=0, le=100)] = 0.0
    repetition_context_size: Annotated[int, Field(ge=1, le=10_000_000)] = 20
    presence_penalty: Penalty = 0.0
    presence_context_size: Annotated[int, Field(ge=1, le=10_000_000)] = 20
    frequency_penalty: Penalty = 0.0
    frequency_context_size: Annotated[int, Field(ge=1, le=10_000_000)] = 20

    def recipe(self, version: str) -> Recipe:
        history: list[Part] = [
            *([part("logit_bias", self.logit_bias)] if self.logit_bias else []),
            *penalties(self.repetition_penalty or 1.0, 0.0, 0.0, scope="both", window=self.repetition_context_size),
            *penalties(1.0, 0.0, self.presence_penalty, scope="both", window=self.presence_context_size),
            *penalties(1.0, self.frequency_penalty, 0.0, scope="both", window=self.frequency_context_size),
        ]
        if self.temp == 0:
            lost = self.given(*_CUTS)
            notes = (f"temp: at 0 mlx-lm is greedy; dropped: {listed(lost)}",) if lost else ()
            return Recipe(tuple(history), GREEDY, notes)
        choices = {
            "threshold": self.xtc_threshold,
            "above": True,
            "least": "equals",
            "protected": self.xtc_special_tokens,
        }
        cuts: list[Part] = [
            *(top_p(self.top_p, "all") if self.top_p > 0 else []),
            *([part("min_p", self.min_p, min_keep=self.min_tokens_to_keep)] if self.min_p > 0 else []),
            *([part("xtc", self.xtc_probability, **choices)] if self.xtc_probability > 0 else []),
            *([part("top_k", self.top_k)] if self.top_k > 0 else []),
            *([part("temperature", self.temp)] if self.temp != 1 else []),
        ]
        return Recipe((*history, *cuts), MULTINOMIAL)
