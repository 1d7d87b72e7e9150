"""koboldcpp: ``SampleLogits`` of its own adapter to llama.cpp."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from decodekit.plugin.presets import Part, Preset, Recipe
from decodekit_presets.shared import (
    MULTINOMIAL,
    READ,
    Base,
    Bias,
    Count,
    Exponent,
    Factor,
    Length,
    Multiplier,
    Penalty,
    Probability,
    Rate,
    Seed,
    Surprise,
    Temperature,
    Texts,
    dry,
    listed,
    part,
    positive,
    seed_note,
    top_p,
)

__all__ = ["KoboldCpp"]

_PREFILTER = 3000
_EXCLUDED = 999.0  # what its XTC subtracts
_ASCII = frozenset(map(chr, range(128)))
_ORDER = (6, 0, 1, 3, 4, 2, 5)


class KoboldCpp(Preset):
    """koboldcpp: bias, DRY, the 3,000 most likely tokens, then seven stages in ``sampler_order``, XTC, adaptive-p.

    0 top_k, 1 top_a, 2 top_p with min_p, 3 tfs, 4 typical, 5 temperature with nsigma, smoothing and dynatemp, 6
    repetition with presence. With mirostat only 6 and the temperature run before it. A ``dry_penalty_last_n`` of 0 or
    less is the whole context. The range of 6 is at least one token, and is filled with token 0 while the text is
    shorter; the slope applies to its older half.
    Source: LostRuins/koboldcpp ``gpttype_adapter.cpp``, ``koboldcpp.py``.
    """

    versions: ClassVar[tuple[str, ...]] = (READ,)
    aliases: ClassVar[dict[str, str]] = {
        "temp": "temperature",
        "typical_p": "typical",
        "repetition_penalty": "rep_pen",
        "repeat_penalty": "rep_pen",
        "top_n_sigma": "nsigma",
        "seed": "sampler_seed",
        "xtc": "xtc_probability",
        "dry": "dry_multiplier",
        "adaptive_p": "adaptive_target",
    }

    temperature: Temperature = 0.75
    dynatemp_range: Temperature = 0.0
    dynatemp_exponent: Exponent = 1.0
    smoothing_factor: Exponent = 0.0
    smoothing_curve: Annotated[float, Field(ge=1, le=10)] = 1.0
    nsigma: Exponent = 0.0
    top_k: Count = 100
    top_a: Probability = 0.0
    top_p: Probability = 0.92
    min_p: Probability = 0.0
    typical: Probability = 1.0
    tfs: Probability = 1.0
    rep_pen: Factor = 1.0
    rep_pen_range: Count = 320
    rep_pen_slope: Annotated[float, Field(ge=0, le=1)] = 1.0
    presence_penalty: Penalty = 0.0
    dry_multiplier: Multiplier = 0.0
    dry_base: Base = 1.75
    dry_allowed_length: Length = 2
    dry_penalty_last_n: Count = 320
    dry_sequence_breakers: Texts = ()
    xtc_threshold: Probability = 0.2
    xtc_probability: Probability = 0.0
    adaptive_target: Annotated[float, Field(ge=-1, le=1)] = -1.0
    adaptive_decay: Annotated[float, Field(ge=0, le=0.99)] = 0.9
    mirostat: Literal[0, 1, 2] = 0
    mirostat_tau: Surprise = 5.0
    mirostat_eta: Rate = 0.1
    logit_bias: Bias = Field(default_factory=dict)
    sampler_order: Annotated[tuple[Annotated[int, Field(ge=0, le=6)], ...], Field(strict=False, max_length=7)] = _ORDER
    sampler_seed: Seed = -1

    @field_validator("sampler_order")
    @classmethod
    def _each_once(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) != len(value):
            raise ValueError("give each stage once")
        return value

    def recipe(self, version: str) -> Recipe:
        notes = seed_note("koboldcpp", self.sampler_seed)
        parts = [part("logit_bias", self.logit_bias)] if self.logit_bias else []
        if self.dry_multiplier > 0:
            length, breakers = self.dry_allowed_length, self.dry_sequence_breakers
            window = self.dry_penalty_last_n if self.dry_penalty_last_n > 0 else None
            parts.append(dry(self.dry_multiplier, self.dry_base, length, window, breakers, law="koboldcpp"))
            if any(not set(breaker) & _ASCII for breaker in breakers):
                notes.append(
                    "dry_sequence_breakers: koboldcpp finds a breaker without ASCII in single tokens only, here in "
                    "sequences too"
                )
        parts.append(part("top_k", _PREFILTER))
        if self.top_k > _PREFILTER:
            notes.append(f"top_k: koboldcpp keeps the {_PREFILTER} most likely tokens before all stages; so here")
        if self.mirostat:
            cuts = ("nsigma", "top_k", "top_a", "top_p", "min_p", "typical", "tfs", "xtc_probability", "dynatemp_range")
            lost = self.given(*cuts, "adaptive_target", "sampler_order")
            if lost:
                notes.append(f"mirostat: koboldcpp drops {listed(lost)}")
            name = "mirostat" if self.mirostat == 1 else "mirostat_v2"
            parts += [*self._history(), *self._heat(dynamic=False)]
            parts.append(part(name, self.mirostat_tau, eta=self.mirostat_eta))
            return Recipe(tuple(parts), MULTINOMIAL, tuple(notes))
        for stage in self.sampler_order or _ORDER:
            parts += self._stage(stage)
        if self.xtc_probability > 0 and self.xtc_threshold <= 0.5:
            parts.append(part("xtc", self.xtc_probability, threshold=self.xtc_threshold, penalty=_EXCLUDED))
        if self.adaptive_target > 0:
            parts.append(part("adaptive_p", self.adaptive_target, decay=self.adaptive_decay))
        return Recipe(tuple(parts), MULTINOMIAL, tuple(notes))

    def _stage(self, stage: int) -> list[Part]:
        match stage:
            case 0 if self.top_k > 0:
                return [part("top_k", self.top_k)]
            case 1 if self.top_a > 0:
                return [part("top_a", self.top_a)]
            case 2:
                return [*top_p(self.top_p, "lowest"), *([part("min_p", self.min_p)] if self.min_p > 0 else [])]
            case 3 if self.tfs < 1:
                return [part("tfs", self.tfs, law="koboldcpp")]
            case 4 if self.typical < 1:
                return [part("typical_p", positive(self.typical), boundary="keep")]
            case 5:
                return self._heat(dynamic=True)
            case 6:
                return self._history()
        return []

    def _heat(self, *, dynamic: bool) -> list[Part]:
        smooth = [part("quadratic", self.smoothing_factor, curve=self.smoothing_curve)] if self.smoothing_factor else []
        if not dynamic:
            return [*([part("temperature", self.temperature)] if self.temperature != 1 else []), *smooth]
        shape = {"spread": self.dynatemp_range, "exponent": self.dynatemp_exponent}
        heat = part("dynamic_temperature", self.temperature, **shape) if self.dynatemp_range else None
        if heat is None and self.temperature != 1:
            heat = part("temperature", self.temperature)
        return [
            *([heat] if heat else []),
            *smooth,
            *([part("top_n_sigma", self.nsigma)] if self.nsigma > 0 else []),
        ]

    def _history(self) -> list[Part]:
        window = {"scope": "both", "window": max(self.rep_pen_range, 1), "padding": 0}
        slope = self.rep_pen_slope if self.rep_pen_slope > 0 else 1.0
        return [
            *([part("repetition_penalty", self.rep_pen, slope=slope, **window)] if self.rep_pen != 1 else []),
            *([part("presence_penalty", self.presence_penalty, **window)] if self.presence_penalty else []),
        ]
