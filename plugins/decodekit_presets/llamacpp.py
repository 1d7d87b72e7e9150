"""llama.cpp: the chain that ``common_sampler_init`` builds for its server and command line."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from decodekit import ParameterError
from decodekit.errors import did_you_mean
from decodekit.plugin.presets import Part, Preset, Recipe
from decodekit_presets.shared import (
    MULTINOMIAL,
    READ,
    Bias,
    Count,
    Exponent,
    Factor,
    Length,
    Multiplier,
    Penalty,
    Probability,
    Rate,
    Surprise,
    Temperature,
    Texts,
    dry,
    listed,
    part,
    penalties,
    positive,
    top_p,
)

__all__ = ["LlamaCpp", "LlamaSeed", "drawn"]

_ORDER = ("penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature")
_LETTERS = dict(zip("edskypmxtia", (*_ORDER, "infill", "adaptive_p"), strict=True))
_SPELLINGS = {
    **{name: name for name in _LETTERS.values()},
    "nucleus": "top_p",
    "temp": "temperature",
    **dict.fromkeys(("typical", "typical_p", "typ"), "typ_p"),
}
_UNSORTING = {  # a stage, and the order before it: after it the candidates are in neither order
    *(("typ_p", order) for order in ("id", "score", "other")),
    *((name, "score") for name in ("penalties", "dry")),
    ("xtc", "id"),  # it sorts at some steps only
}
_RANDOM = 2**32 - 1  # in llama.cpp this means a random seed

Order = Literal["id", "score", "other"]
LlamaSeed = Annotated[int, Field(ge=-1, lt=2**32)]


def drawn(seed: int | None, order: Order, law: str = "dist") -> tuple[Part, list[str]]:
    """The sampler: llama.cpp's own generator where there is a seed, a note where its draws cannot be reproduced."""
    if seed is None or seed in (-1, _RANDOM):
        return MULTINOMIAL, []
    if order == "other":
        why = "this chain leaves the candidates in an order that is not reproduced"
        return MULTINOMIAL, [f"seed: {why}: the distribution is llama.cpp's, the drawn tokens are not"]
    return part("llamacpp_dist", seed, order=order, law=law), []


class LlamaCpp(Preset):
    """llama.cpp ``common``: bias, penalties, DRY, truncations, XTC, and the temperature last.

    ``samplers`` may reorder, repeat and leave out stages, by names (a list, or joined by ';') or by letters as in
    ``--sampling-seq``. The history of the penalties is prompt and output, as its server feeds them. With a seed the
    tokens are llama.cpp's own (libstdc++ builds).
    Source: ggml-org/llama.cpp ``common/sampling.cpp``, ``common/common.h``, ``src/llama-sampler.cpp``.
    """

    versions: ClassVar[tuple[str, ...]] = (READ,)
    aliases: ClassVar[dict[str, str]] = {
        "temperature": "temp",
        "typical_p": "typ_p",
        "typical": "typ_p",
        "top_nsigma": "top_n_sigma",
        "sampling_seq": "samplers",
        "sampler_seq": "samplers",
        "penalty_repeat": "repeat_penalty",
        "repetition_penalty": "repeat_penalty",
        "penalty_freq": "frequency_penalty",
        "penalty_present": "presence_penalty",
        "penalty_last_n": "repeat_last_n",
        "dynatemp_exp": "dynatemp_exponent",
        "mirostat_lr": "mirostat_eta",
        "mirostat_ent": "mirostat_tau",
        "dry_sequence_breaker": "dry_sequence_breakers",
        "xtc": "xtc_probability",
        "dry": "dry_multiplier",
        "adaptive_p": "adaptive_target",
    }

    seed: LlamaSeed = -1
    min_keep: Length = 0
    samplers: str | Texts = _ORDER
    logit_bias: Bias = Field(default_factory=dict)
    ignore_eos: bool = False
    temp: Annotated[float, Field(ge=-1000, le=1000)] = 0.8
    dynatemp_range: Temperature = 0.0
    dynatemp_exponent: Exponent = 1.0
    top_k: Count = 40
    top_p: Probability = 0.95
    min_p: Probability = 0.05
    typ_p: Probability = 1.0
    top_n_sigma: Annotated[float, Field(ge=-1, le=100)] = -1.0
    xtc_probability: Probability = 0.0
    xtc_threshold: Probability = 0.1
    repeat_last_n: Count = 64
    repeat_penalty: Factor = 1.0
    frequency_penalty: Penalty = 0.0
    presence_penalty: Penalty = 0.0
    dry_multiplier: Multiplier = 0.0
    dry_base: Annotated[float, Field(ge=0, le=100)] = 1.75
    dry_allowed_length: Length = 2
    dry_penalty_last_n: Count = 64
    dry_sequence_breakers: Texts = ("\n", ":", '"', "*")
    adaptive_target: Annotated[float, Field(ge=-1, le=1)] = -1.0
    adaptive_decay: Annotated[float, Field(ge=0, le=0.99)] = 0.9
    mirostat: Literal[0, 1, 2] = 0
    mirostat_tau: Surprise = 5.0
    mirostat_eta: Rate = 0.1

    @field_validator("samplers")
    @classmethod
    def _names(cls, value: str | tuple[str, ...]) -> tuple[str, ...]:
        if isinstance(value, str) and ";" not in value and value not in _SPELLINGS and set(value) <= set(_LETTERS):
            return tuple(_LETTERS[letter] for letter in value)
        names = value.split(";") if isinstance(value, str) else value
        for name in names:
            if name.replace("-", "_") not in _SPELLINGS:
                raise ValueError(f"llama.cpp would skip {name!r} with only a log line{_meant(name)}")
        return tuple(_SPELLINGS[name.replace("-", "_")] for name in names)

    def recipe(self, version: str) -> Recipe:
        bias = [part("logit_bias", self.logit_bias)] if self.logit_bias else []
        if self.ignore_eos:
            bias.append(part("min_new_tokens", 10_000_000))
        if self.mirostat:
            return self._mirostat(bias)
        parts, order, notes = list(bias), "id", self._dropped()
        masked = self.ignore_eos or False in [value for value in self.logit_bias.values() if isinstance(value, bool)]
        for name in self.samplers:
            before = order
            made = self._stage(name)
            parts += made
            if (made and name in ("top_n_sigma", "top_k", "top_p")) or (
                name == "temperature" and self.dynatemp_range > 0
            ):
                order = "score"
            elif made and (name, before) in _UNSORTING:
                order = "other"
            masked |= name == "top_n_sigma" and bool(made)
            if masked and name == "typ_p" and made:
                notes.append(
                    "typ_p: llama.cpp's entropy is NaN where a token is banned; here banned tokens do not count"
                )
            if masked and name == "xtc" and made and self.xtc_threshold == 0:
                notes.append(
                    "xtc_threshold: at 0 llama.cpp counts banned candidates as choices; here they do not count"
                )
            if masked and name == "temperature" and self.dynatemp_range > 0:
                notes.append("dynatemp_range: llama.cpp counts banned candidates in its range; here they do not count")
        law = "dist"
        if "adaptive_p" in self.samplers:
            law = "discrete"
            if self.adaptive_target >= 0:
                parts.append(part("adaptive_p", self.adaptive_target, decay=self.adaptive_decay))
                order = "id" if order == "id" else "other"
        sampler, seed_notes = drawn(self.seed, order, law)  # type: ignore[arg-type]
        return Recipe(tuple(parts), sampler, (*notes, *seed_notes))

    def _stage(self, name: str) -> list[Part]:
        keep = max(1, self.min_keep)
        match name:
            case "penalties" if self.repeat_last_n > 0:
                where = {"scope": "both", "window": self.repeat_last_n}
                return penalties(self.repeat_penalty, self.frequency_penalty, self.presence_penalty, **where)
            case "dry" if self.dry_multiplier > 0 and self.dry_base >= 1 and self.dry_penalty_last_n > 0:
                length, breakers = self.dry_allowed_length, self.dry_sequence_breakers
                return [dry(self.dry_multiplier, self.dry_base, length, self.dry_penalty_last_n, breakers)]
            case "top_n_sigma" if self.top_n_sigma > 0:
                return [part("top_n_sigma", self.top_n_sigma)]
            case "top_k" if self.top_k > 0:
                return [part("top_k", self.top_k)]
            case "typ_p" if self.typ_p < 1:
                return [part("typical_p", positive(self.typ_p), min_keep=keep, boundary="keep")]
            case "top_p":
                return [{**made, "min_keep": keep} for made in top_p(self.top_p, "lowest")]
            case "min_p" if self.min_p > 0:
                return [part("min_p", self.min_p, min_keep=keep)]
            case "xtc" if self.xtc_probability > 0 and self.xtc_threshold <= 0.5:
                shared = {"threshold": self.xtc_threshold, "min_keep": keep}
                if self.seed in (-1, _RANDOM):
                    return [part("xtc", self.xtc_probability, **shared)]
                return [part("llamacpp_xtc", self.xtc_probability, seed=self.seed, **shared)]
            case "temperature":
                return self._temperature()
            case "infill":
                raise ParameterError("preset 'llama.cpp': the sampler 'infill' merges texts and is not supported here")
        return []

    def _temperature(self) -> list[Part]:
        degrees = max(self.temp, 0.0)
        if self.dynatemp_range > 0:
            shape = {"spread": self.dynatemp_range, "exponent": self.dynatemp_exponent}
            return [part("dynamic_temperature", degrees, **shape)]
        return [part("temperature", degrees)] if degrees != 1 else []

    def _mirostat(self, bias: list[Part]) -> Recipe:
        names = (set(type(self).model_fields) & self.model_fields_set) - {"temp", "seed", "logit_bias", "ignore_eos"}
        lost = self.given(*sorted(name for name in names if not name.startswith("mirostat")))
        notes = []
        if lost:
            notes.append(f"mirostat: llama.cpp runs temperature and mirostat alone, and drops {listed(lost)}")
        name = "mirostat" if self.mirostat == 1 else "mirostat_v2"
        heat = [part("temperature", max(self.temp, 0.0))] if self.temp != 1 else []
        sampler, seed_notes = drawn(self.seed, "score", "discrete")
        return Recipe(
            (*bias, *heat, part(name, self.mirostat_tau, eta=self.mirostat_eta)), sampler, (*notes, *seed_notes)
        )

    def _dropped(self) -> list[str]:
        notes = []
        repeats = self.given("repeat_penalty", "frequency_penalty", "presence_penalty")
        if self.repeat_last_n < 0 and repeats:
            notes.append(f"repeat_last_n: below 0 once meant the whole context; now llama.cpp drops {listed(repeats)}")
        if self.dry_multiplier > 0 and self.dry_penalty_last_n < 0:
            notes.append("dry_penalty_last_n: below 0 once meant the whole context; now llama.cpp drops dry_multiplier")
        if self.dry_multiplier > 0 and self.dry_base < 1:
            notes.append("dry_base: below 1 llama.cpp drops dry_multiplier")
        if self.xtc_probability > 0 and self.xtc_threshold > 0.5:
            notes.append("xtc_threshold: above 0.5 two tokens cannot both reach it; llama.cpp drops xtc_probability")
        tuned = {
            "penalties": repeats,
            "dry": self.given("dry_multiplier"),
            "typ_p": self.given("typ_p"),
            "xtc": self.given("xtc_probability"),
            "top_n_sigma": self.given("top_n_sigma"),
            "adaptive_p": self.given("adaptive_target"),
            **{name: self.given(name) for name in ("top_k", "top_p", "min_p")},
            "temperature": self.given("temp", "dynatemp_range"),
        }
        idle = [field for name, fields in tuned.items() if name not in self.samplers for field in fields]
        if idle:
            notes.append(f"samplers: it does not name the stage of {listed(idle)}, which llama.cpp drops")
        return notes


def _meant(name: str) -> str:
    return did_you_mean(name, _SPELLINGS)
