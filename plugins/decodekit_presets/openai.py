"""OpenAI's API: the sampling parameters of its completions and chat completions."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from decodekit.plugin.presets import Preset, Recipe
from decodekit_presets.shared import (
    GREEDY,
    MULTINOMIAL,
    READ,
    Bias,
    OpenAIPenalty,
    Seed,
    listed,
    part,
    penalties,
    seed_note,
    top_p,
)

__all__ = ["OpenAI"]

_LARGEST_BIAS = 100.0


class OpenAI(Preset):
    """OpenAI's API: the bias and the penalties of the output, then the temperature, then top_p.

    Its documentation says that bias and penalties are added to the logits; the place of the temperature, and what a
    temperature of 0 does, are assumed as in the open engines that have the same API (vLLM, SGLang). Its draws cannot
    be repeated.
    Source: OpenAI's API reference, ``/v1/chat/completions`` and its guide on parameter details.
    """

    versions: ClassVar[tuple[str, ...]] = (READ,)

    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    frequency_penalty: OpenAIPenalty = 0.0
    presence_penalty: OpenAIPenalty = 0.0
    logit_bias: Bias = Field(default_factory=dict)
    seed: Seed | None = None

    def recipe(self, version: str) -> Recipe:
        notes = seed_note("OpenAI", self.seed)
        clipped = {
            token: -_LARGEST_BIAS if bias is False else max(-_LARGEST_BIAS, min(_LARGEST_BIAS, bias))
            for token, bias in self.logit_bias.items()
        }
        if clipped != self.logit_bias:
            notes.append("logit_bias: OpenAI takes numbers from -100 to 100")
        parts = [
            *([part("logit_bias", clipped)] if clipped else []),
            *penalties(1.0, self.frequency_penalty, self.presence_penalty, scope="output"),
        ]
        if self.temperature == 0:
            lost = self.given("top_p")
            if lost:
                notes.append(f"temperature: at 0 OpenAI is greedy, and {listed(lost)} changes nothing")
            return Recipe(tuple(parts), GREEDY, tuple(notes))
        heat = [part("temperature", self.temperature)] if self.temperature != 1 else []
        return Recipe((*parts, *heat, *top_p(self.top_p, "lowest")), MULTINOMIAL, tuple(notes))
