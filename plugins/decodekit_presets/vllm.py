"""vLLM: ``SamplingParams`` through the sampler of V1, or of the second model runner (MRV2)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from decodekit.plugin.presets import Part, Preset, Recipe
from decodekit_presets.shared import (
    GREEDY,
    MULTINOMIAL,
    Bias,
    Count,
    Length,
    OpenAIPenalty,
    Probability,
    Seed,
    Texts,
    TokenIdTuple,
    ends_note,
    listed,
    no_eos_note,
    part,
    penalties,
    seed_note,
    top_p,
)

__all__ = ["VLLM"]

_LEAST_TEMPERATURE = 0.01
_LARGEST_BIAS = 100.0


class VLLM(Preset):
    """vLLM: masks and penalties, then the temperature, min_p, top_k and top_p.

    The repetition penalty counts prompt and output, the other two the output alone. 'v1' applies the bad words, then
    the bias, then the penalties; 'mrv2' the bias, then the penalties, then the bad words. Greedy at a temperature of 0;
    a temperature between 0 and 0.01 is raised to 0.01.
    Source: vllm-project/vllm 0.33.0 ``v1/sample/sampler.py``, ``v1/worker/gpu/sample/sampler.py``,
    ``sampling_params.py``.
    """

    versions: ClassVar[tuple[str, ...]] = ("mrv2", "v1")

    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Count = 0
    min_p: Probability = 0.0
    repetition_penalty: Annotated[float, Field(gt=0, le=1e9)] = 1.0
    frequency_penalty: OpenAIPenalty = 0.0
    presence_penalty: OpenAIPenalty = 0.0
    min_tokens: Length = 0
    stop_token_ids: TokenIdTuple = ()
    ignore_eos: bool = False
    bad_words: Texts = ()
    logit_bias: Bias = Field(default_factory=dict)
    allowed_token_ids: TokenIdTuple = ()
    seed: Seed | None = None

    @field_validator("top_k")
    @classmethod
    def _off(cls, value: int) -> int:
        return max(value, 0)

    def recipe(self, version: str) -> Recipe:
        notes = seed_note("vLLM", self.seed)
        if self.stop_token_ids:
            notes.append(ends_note("stop_token_ids"))
        if self.ignore_eos:
            notes.append(no_eos_note("vLLM"))
        if self.min_tokens:
            notes.append("min_tokens: until then vLLM ignores stop strings too; a session stops at them")
        masks = self._masks(notes)
        history = [
            *penalties(self.repetition_penalty, 0.0, 0.0, scope="both"),
            *penalties(1.0, self.frequency_penalty, self.presence_penalty, scope="output"),
        ]
        words = [part("vllm_bad_words", self.bad_words)] if self.bad_words else []
        if version == "mrv2":
            order = [*masks["allowed"], *masks["bias"], *masks["length"], *history, *words]
        else:
            order = [*masks["allowed"], *words, *masks["length"], *masks["bias"], *history]
        if self.temperature == 0:
            lost = self.given("top_p", "top_k", "min_p")
            if lost:
                notes.append(f"temperature: at 0 vLLM is greedy and resets {listed(lost)}")
            return Recipe(tuple(order), GREEDY, tuple(notes))
        return Recipe((*order, *self._shape(notes)), MULTINOMIAL, tuple(notes))

    def _masks(self, notes: list[str]) -> dict[str, list[Part]]:
        clipped = {
            token: bias if isinstance(bias, bool) else max(-_LARGEST_BIAS, min(_LARGEST_BIAS, bias))
            for token, bias in self.logit_bias.items()
        }
        if clipped != self.logit_bias:
            notes.append("logit_bias: vLLM clips it to [-100, 100]")
        stops = {"stop_ids": self.stop_token_ids} if self.stop_token_ids else {}
        return {
            "allowed": [part("allowed_tokens", self.allowed_token_ids)] if self.allowed_token_ids else [],
            "bias": [part("logit_bias", clipped)] if clipped else [],
            "length": [part("min_new_tokens", self.min_tokens, **stops)] if self.min_tokens else [],
        }

    def _shape(self, notes: list[str]) -> list[Part]:
        degrees = max(self.temperature, _LEAST_TEMPERATURE)
        if degrees != self.temperature:
            notes.append(f"temperature: vLLM raises it to {_LEAST_TEMPERATURE}")
        return [
            *([part("temperature", degrees)] if degrees != 1 else []),
            *([part("min_p", self.min_p)] if self.min_p > 0 else []),
            *([part("top_k", self.top_k, ties="all")] if self.top_k > 0 else []),
            *top_p(self.top_p, "highest"),
        ]
