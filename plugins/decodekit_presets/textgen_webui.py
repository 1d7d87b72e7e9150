"""text-generation-webui: the transformers loader with its own samplers, sorted by ``sampler_priority``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from decodekit.plugin.presets import Part, Preset, Recipe
from decodekit_presets.shared import (
    GREEDY,
    MULTINOMIAL,
    READ,
    Base,
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
    penalties,
    positive,
    seed_note,
    top_p,
)

__all__ = ["TextGenerationWebUI"]

_PRIORITY = (
    *("repetition_penalty", "presence_penalty", "frequency_penalty", "dry", "top_n_sigma", "temperature"),
    *("dynamic_temperature", "quadratic_sampling", "top_k", "top_p", "typical_p", "epsilon_cutoff", "eta_cutoff"),
    *("tfs", "top_a", "min_p", "adaptive_p", "mirostat", "xtc", "encoder_repetition_penalty", "no_repeat_ngram"),
)
_MADE = (  # the order in which transformers and the web UI create their processors; those without a priority keep it
    *("encoder_repetition_penalty", "no_repeat_ngram", "temperature", "top_k", "top_p", "min_p", "typical_p"),
    *("epsilon_cutoff", "eta_cutoff", "dry", "repetition_penalty", "presence_penalty", "frequency_penalty", "tfs"),
    *("top_a", "top_n_sigma", "adaptive_p", "xtc", "dynamic_temperature", "quadratic_sampling", "mirostat"),
)
_SAMPLING = ("temperature", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff")
_DRAWING = ("adaptive_p", "mirostat")
_HEAT = ("temperature", "dynamic_temperature", "quadratic_sampling")
_PER_TEN_THOUSAND = 1e-4  # the unit of its two cutoffs


class TextGenerationWebUI(Preset):
    """text-generation-webui: penalties and DRY, then the temperature (unless ``temperature_last``), then the rest.

    ``epsilon_cutoff`` and ``eta_cutoff`` count in units of 1e-4. Stages that ``sampler_priority`` does not name come
    before those it names. ``temperature_last`` puts the temperature, the dynamic one and smoothing at the end.
    Adaptive-p and mirostat draw at their place in the order, so later stages have no effect. Without ``do_sample`` the
    truncations and the temperature of transformers are dropped; the others act.
    Source: oobabooga/text-generation-webui (May 2026) ``modules/sampler_hijack.py``, ``modules/presets.py``.
    """

    versions: ClassVar[tuple[str, ...]] = (READ,)
    aliases: ClassVar[dict[str, str]] = {
        "xtc": "xtc_probability",
        "dry": "dry_multiplier",
        "no_repeat_ngram": "no_repeat_ngram_size",
        "adaptive_p": "adaptive_target",
    }

    do_sample: bool = True
    temperature: Temperature = 1.0
    dynamic_temperature: bool = False
    dynatemp_low: Temperature = 1.0
    dynatemp_high: Temperature = 1.0
    dynatemp_exponent: Exponent = 1.0
    smoothing_factor: Exponent = 0.0
    smoothing_curve: Annotated[float, Field(ge=1, le=10)] = 1.0
    top_n_sigma: Exponent = 0.0
    top_k: Length = 0
    top_p: Probability = 1.0
    typical_p: Probability = 1.0
    epsilon_cutoff: Annotated[float, Field(ge=0, lt=10_000)] = 0.0
    eta_cutoff: Annotated[float, Field(ge=0, lt=10_000)] = 0.0
    tfs: Probability = 1.0
    top_a: Probability = 0.0
    min_p: Probability = 0.0
    adaptive_target: Probability = 0.0
    adaptive_decay: Annotated[float, Field(ge=0, le=0.99)] = 0.9
    mirostat_mode: Literal[0, 1, 2] = 0
    mirostat_tau: Surprise = 5.0
    mirostat_eta: Rate = 0.1
    xtc_probability: Probability = 0.0
    xtc_threshold: Probability = 0.1
    repetition_penalty: Factor = 1.0
    presence_penalty: Penalty = 0.0
    frequency_penalty: Penalty = 0.0
    repetition_penalty_range: Length = 1024
    encoder_repetition_penalty: Factor = 1.0
    no_repeat_ngram_size: Annotated[int, Field(ge=0, le=1000)] = 0
    dry_multiplier: Multiplier = 0.0
    dry_base: Base = 1.75
    dry_allowed_length: Length = 2
    dry_sequence_breakers: Texts = ("\n", ":", '"', "*")
    temperature_last: bool = False
    sampler_priority: Texts = _PRIORITY
    seed: Seed = -1

    @field_validator("sampler_priority", mode="before")
    @classmethod
    def _lines(cls, value: Any) -> Any:
        """Its presets join the names with line breaks, its interface with commas."""
        return tuple(value.replace(",", "\n").split()) if isinstance(value, str) else value

    @field_validator("sampler_priority")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in _PRIORITY:
                raise ValueError(f"text-generation-webui has no sampler {name!r}; it has {', '.join(_PRIORITY)}")
        return value

    @classmethod
    def ported(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        units = {"epsilon_cutoff": _PER_TEN_THOUSAND, "eta_cutoff": _PER_TEN_THOUSAND}
        return {
            name: value / units[name] if name in units else value for name, value in super().ported(settings).items()
        }

    def recipe(self, version: str) -> Recipe:
        stages, notes = self._stages(), seed_note("text-generation-webui", self.seed)
        order = self._order()
        if not self.do_sample:
            order = [name for name in order if name not in _SAMPLING]
            lost = self.given(*_SAMPLING)
            if lost:
                notes.append(f"do_sample: without it transformers drops {listed(lost)}")
        drawn = next((at for at, name in enumerate(order) if name in _DRAWING and stages[name]), None)
        if drawn is not None:
            if "no_repeat_ngram" in order[drawn:] and stages["no_repeat_ngram"]:
                notes.append(
                    f"no_repeat_ngram_size: it comes after {order[drawn]} has drawn, and the run fails where it bans "
                    "that token; here it is left out"
                )
            order = order[: drawn + 1]
        parts = tuple(made for name in order for made in stages[name])
        notes += self._differences({made["name"] for made in parts})
        return Recipe(parts, MULTINOMIAL if self.do_sample or drawn is not None else GREEDY, tuple(notes))

    def _order(self) -> list[str]:
        """Those without a priority in order of creation, then by priority; the first of a repeated name counts."""
        named = list(dict.fromkeys(self.sampler_priority))
        if self.temperature_last:
            named = [*(name for name in named if name not in _HEAT), *_HEAT]
        return [*(name for name in _MADE if name not in named), *named]

    def _stages(self) -> dict[str, list[Part]]:
        """The processors of each name of ``sampler_priority``; none where the setting turns it off."""
        return {**self._history(), **self._heat(), **self._truncations(), **self._drawing()}

    def _history(self) -> dict[str, list[Part]]:
        """What depends on the tokens before: penalties, DRY and bans of n-grams."""
        window = self.repetition_penalty_range or None
        past = {"scope": "both", "window": window}
        multiplier, length, breakers = self.dry_multiplier, self.dry_allowed_length, self.dry_sequence_breakers
        encoder, size = self.encoder_repetition_penalty, self.no_repeat_ngram_size
        return {
            "repetition_penalty": penalties(self.repetition_penalty, 0.0, 0.0, **past),
            "frequency_penalty": penalties(1.0, self.frequency_penalty, 0.0, **past),
            "presence_penalty": penalties(1.0, 0.0, self.presence_penalty, **past),
            "dry": [dry(multiplier, self.dry_base, length, window, breakers)] if multiplier > 0 else [],
            "encoder_repetition_penalty": [part("encoder_repetition_penalty", encoder)] if encoder != 1 else [],
            "no_repeat_ngram": [part("no_repeat_ngram", size)] if size > 0 else [],
        }

    def _heat(self) -> dict[str, list[Part]]:
        """What changes the shape and excludes nothing."""
        middle, spread = (self.dynatemp_high + self.dynatemp_low) / 2, (self.dynatemp_high - self.dynatemp_low) / 2
        dynamic = part("dynamic_temperature", middle, spread=spread, exponent=self.dynatemp_exponent)
        smoothing = part("quadratic", self.smoothing_factor, curve=self.smoothing_curve)
        return {
            "temperature": [part("temperature", self.temperature)] if self.temperature != 1 else [],
            "dynamic_temperature": [dynamic] if self.dynamic_temperature else [],
            "quadratic_sampling": [smoothing] if self.smoothing_factor > 0 else [],
        }

    def _truncations(self) -> dict[str, list[Part]]:
        epsilon, eta = self.epsilon_cutoff * _PER_TEN_THOUSAND, self.eta_cutoff * _PER_TEN_THOUSAND
        xtc = part("xtc", self.xtc_probability, threshold=self.xtc_threshold)
        return {
            "top_n_sigma": [part("top_n_sigma", self.top_n_sigma)] if self.top_n_sigma > 0 else [],
            "top_k": [part("top_k", self.top_k, ties="all")] if self.top_k > 0 else [],
            "top_p": top_p(self.top_p, "highest"),
            "typical_p": [part("typical_p", positive(self.typical_p), ties="all")] if self.typical_p < 1 else [],
            "epsilon_cutoff": [part("epsilon_cutoff", epsilon, ties="all")] if epsilon > 0 else [],
            "eta_cutoff": [part("eta_cutoff", eta, ties="all")] if eta > 0 else [],
            "tfs": [part("tfs", self.tfs, cut_tokens="zeros")] if self.tfs < 1 else [],
            "top_a": [part("top_a", self.top_a)] if self.top_a > 0 else [],
            "min_p": [part("min_p", self.min_p)] if self.min_p > 0 else [],
            "xtc": [xtc] if self.xtc_probability > 0 else [],
        }

    def _drawing(self) -> dict[str, list[Part]]:
        """What draws at its own place in the order."""
        adaptive = part("adaptive_p", self.adaptive_target, decay=self.adaptive_decay)
        return {
            "adaptive_p": [adaptive] if self.adaptive_target > 0 else [],
            "mirostat": [part("mirostat_v2", self.mirostat_tau, eta=self.mirostat_eta)]
            if self.mirostat_mode == 2
            else [],
        }

    def _differences(self, used: set[str]) -> list[str]:
        """Notes on what these processors do differently."""
        notes = []
        if self.dynamic_temperature and self.dynatemp_low == self.dynatemp_high == 1:
            notes.append("dynamic_temperature: it does nothing while dynatemp_low and dynatemp_high are 1")
        if self.mirostat_mode == 1:
            notes.append("mirostat_mode: only 2 exists there; 1 is dropped")
        if "top_n_sigma" in used:
            notes.append(
                "top_n_sigma: there the sample deviation with banned tokens as 0, here the population's without them"
            )
        if "dry" in used:
            notes.append("dry: there a breaker is the last token of 'a' and its text, and no match exceeds 50 tokens")
        if "xtc" in used:
            notes.append("xtc: there it does nothing where it would exclude a newline or the end of text; here it acts")
            if self.xtc_threshold == 0:
                notes.append("xtc_threshold: at 0 tokens that were cut count as choices there; here they do not")
        return notes
