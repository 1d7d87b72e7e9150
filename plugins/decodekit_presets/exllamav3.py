"""ExLlamaV3: ``ComboSampler``."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field, field_validator

from decodekit.plugin.presets import Part, Preset, Recipe
from decodekit_presets.shared import (
    GREEDY,
    MULTINOMIAL,
    Bias,
    Count,
    Factor,
    Length,
    Penalty,
    Probability,
    Temperature,
    listed,
    part,
    penalties,
    top_p,
)

__all__ = ["ExLlamaV3"]

_LONGEST = 10_000_000


class ExLlamaV3(Preset):
    """ExLlamaV3 ``ComboSampler``: bias, penalties with decay, temperature (or last), min_p, top_k, top_p.

    Its top_p drops the token that crosses p. ``fused`` is its fused kernel, on by default: with it every token that
    ties with the last one of top_k stays, and top_p keeps or drops equal tokens together; without it
    (``EXL3_FUSED_SAMPLER=0``, or adaptive-p) exactly k tokens stay.
    Source: turboderp-org/exllamav3 1.4.1 ``generator/sampler/presets.py``, ``custom.py``.
    """

    versions: ClassVar[tuple[str, ...]] = ("1.4.1",)
    aliases: ClassVar[dict[str, str]] = {
        "repetition_penalty": "rep_p",
        "frequency_penalty": "freq_p",
        "presence_penalty": "pres_p",
        "temperature_last": "temp_last",
        "adaptive_p": "adaptive_target",
    }

    logit_bias: Bias = Field(default_factory=dict)
    rep_p: Factor = 1.0
    freq_p: Penalty = 0.0
    pres_p: Penalty = 0.0
    rep_sustain_range: Annotated[int, Field(ge=1, le=2**31)] = 10**8
    rep_decay_range: Length = 0
    temperature: Temperature = 1.0
    min_p: Probability = 0.0
    top_k: Count = 0
    top_p: Probability = 1.0
    temp_last: bool = False
    adaptive_target: Annotated[float, Field(ge=0, le=1)] = 1.0
    adaptive_decay: Annotated[float, Field(ge=0, le=0.99)] = 0.9
    fused: bool = True

    @field_validator("top_k")
    @classmethod
    def _off(cls, value: int) -> int:
        return max(value, 0)

    def recipe(self, version: str) -> Recipe:
        where: dict[str, Any] = {
            "scope": "both",
            "window": None if self.rep_sustain_range >= _LONGEST else self.rep_sustain_range,
        }
        if where["window"] is not None:
            where["decay"] = self.rep_decay_range
        history: list[Part] = [
            *([part("logit_bias", self.logit_bias)] if self.logit_bias else []),
            *penalties(self.rep_p, self.freq_p, self.pres_p, **where),
        ]
        if self.temperature == 0 or self.top_k == 1:
            lost = self.given("adaptive_target")
            notes = (f"greedy at temperature 0 or top_k 1; dropped: {listed(lost)}",) if lost else ()
            return Recipe(tuple(history), GREEDY, notes)
        adaptive = self.adaptive_target != 1
        ties = "all" if self.fused and not adaptive else "lowest"
        heat = [part("temperature", self.temperature)] if self.temperature != 1 else []
        shape: list[Part] = [
            *([] if self.temp_last else heat),
            *([part("min_p", self.min_p)] if self.min_p > 0 else []),
            *([part("top_k", self.top_k, ties=ties)] if self.top_k > 0 else []),
            *({**made, "crossing": "drop"} for made in top_p(self.top_p, ties if self.top_p > 0 else "lowest")),
            *(heat if self.temp_last else []),
            *([part("adaptive_p", self.adaptive_target, decay=self.adaptive_decay)] if adaptive else []),
        ]
        idle = adaptive and self.fused and "fused" in self.model_fields_set
        notes = (
            ("fused: exllamav3 has no fused sampler for adaptive_target, and acts as with fused=False",) if idle else ()
        )
        return Recipe((*history, *shape), MULTINOMIAL, notes)
