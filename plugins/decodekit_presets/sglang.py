"""SGLang: ``SamplingParams`` through either of its sampling backends."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from decodekit.plugin.presets import Part, Preset, Recipe
from decodekit_presets.shared import (
    GREEDY,
    MULTINOMIAL,
    Bias,
    Length,
    OpenAIPenalty,
    Probability,
    Seed,
    Temperature,
    TokenIdTuple,
    ends_note,
    no_eos_note,
    part,
    penalties,
    seed_note,
    top_p,
)

__all__ = ["SGLang"]

_GREEDY_BELOW = 1e-6
_ALL = 1 << 30


class SGLang(Preset):
    """SGLang: penalties of the output (additive ones first, then the factor), bias, temperature, truncations.

    top_k and top_p both use the probabilities before either cut. Only with min_p, and on the ``flashinfer`` backend,
    each acts on the result of the one before. ``sampling_backend`` is the server's option.
    Source: sgl-project/sglang 0.5.23 ``layers/sampler.py``, ``sampling/sampling_params.py``.
    """

    versions: ClassVar[tuple[str, ...]] = ("0.5.23",)

    temperature: Temperature = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=-1, le=_ALL)] = -1
    min_p: Probability = 0.0
    frequency_penalty: OpenAIPenalty = 0.0
    presence_penalty: OpenAIPenalty = 0.0
    repetition_penalty: Annotated[float, Field(gt=0, le=2)] = 1.0
    min_new_tokens: Length = 0
    stop_token_ids: TokenIdTuple = ()
    ignore_eos: bool = False
    logit_bias: Bias = Field(default_factory=dict)
    sampling_seed: Seed | None = None
    sampling_backend: Literal["flashinfer", "pytorch"] = "flashinfer"

    @field_validator("top_k")
    @classmethod
    def _off(cls, value: int) -> int:
        if value == 0:
            raise ValueError("SGLang refuses 0; -1 is off")
        return -1 if value == _ALL else value

    def recipe(self, version: str) -> Recipe:
        notes = (
            *seed_note("SGLang", self.sampling_seed),
            *([ends_note("stop_token_ids")] if self.stop_token_ids else []),
            *([no_eos_note("SGLang")] if self.ignore_eos else []),
        )
        stops = {"stop_ids": self.stop_token_ids} if self.stop_token_ids else {}
        masks: list[Part] = [
            *penalties(1.0, self.frequency_penalty, self.presence_penalty, scope="output"),
            *([part("min_new_tokens", self.min_new_tokens, **stops)] if self.min_new_tokens else []),
            *penalties(self.repetition_penalty, 0.0, 0.0, scope="output"),
            *([part("logit_bias", self.logit_bias)] if self.logit_bias else []),
        ]
        if self.temperature < _GREEDY_BELOW or self.top_k == 1:
            return Recipe(tuple(masks), GREEDY, notes)
        heat = [part("temperature", self.temperature)] if self.temperature != 1 else []
        return Recipe((*masks, *heat, *self._cuts()), MULTINOMIAL, notes)

    def _cuts(self) -> list[Part]:
        few = [part("top_k", self.top_k)] if 0 < self.top_k < 10_000_000 else []
        nucleus = top_p(self.top_p, "lowest", "keep")
        least = [part("min_p", self.min_p)] if self.min_p > 0 else []
        # Both keep the first tokens of one ranking: with top_p first, both use the same probabilities.
        one_after_another = bool(least) and self.sampling_backend == "flashinfer"
        return [*few, *nucleus, *least] if one_after_another else [*nucleus, *few, *least]
