"""llama-cpp-python: the chain of ``Llama._init_sampler``."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from decodekit.plugin.presets import Part, Preset, Recipe
from decodekit_presets.llamacpp import LlamaSeed, Order, drawn
from decodekit_presets.shared import (
    GREEDY,
    Bias,
    Count,
    Factor,
    Penalty,
    Probability,
    Rate,
    Surprise,
    listed,
    part,
    penalties,
    positive,
    top_p,
)

__all__ = ["LlamaCppPython"]


class LlamaCppPython(Preset):
    """llama-cpp-python ``Llama``: the penalties of the output, top_k, typical, top_p, min_p, and the temperature last.

    The penalties never see the prompt, because it is not given to the sampler. Mirostat runs without a temperature. A
    temperature of 0 is greedy; below 0 everything but the penalties is dropped. With a seed the tokens are its own.
    Source: llama-cpp-python 0.3.36 ``llama.py``, ``_init_sampler``.
    """

    versions: ClassVar[tuple[str, ...]] = ("0.3.36",)
    aliases: ClassVar[dict[str, str]] = {"temp": "temperature", "repetition_penalty": "repeat_penalty"}

    seed: LlamaSeed = -1
    temperature: Annotated[float, Field(ge=-1000, le=1000)] = 0.8
    top_k: Count = 40
    top_p: Probability = 0.95
    min_p: Probability = 0.05
    typical_p: Probability = 1.0
    repeat_penalty: Factor = 1.0
    frequency_penalty: Penalty = 0.0
    presence_penalty: Penalty = 0.0
    last_n_tokens_size: Count = 64
    mirostat_mode: Literal[0, 1, 2] = 0
    mirostat_tau: Surprise = 5.0
    mirostat_eta: Rate = 0.1
    logit_bias: Bias = Field(default_factory=dict)
    tfs_z: Probability = 1.0
    penalize_nl: bool = True

    def recipe(self, version: str) -> Recipe:
        notes = [f"{name}: llama-cpp-python accepts it and ignores it" for name in self.given("tfs_z", "penalize_nl")]
        parts = [part("logit_bias", self.logit_bias)] if self.logit_bias else []
        if self.last_n_tokens_size > 0:
            where = {"scope": "output", "window": self.last_n_tokens_size}
            parts += penalties(self.repeat_penalty, self.frequency_penalty, self.presence_penalty, **where)
        elif self.given("repeat_penalty", "frequency_penalty", "presence_penalty"):
            notes.append("last_n_tokens_size: below 1 the penalties are dropped")
        cuts = ("top_k", "typical_p", "top_p", "min_p")
        if self.temperature == 0:
            lost = self.given("typical_p", "mirostat_mode")
            if lost:
                notes.append(f"temperature: at 0 it is greedy, and drops {listed(lost)}")
            return Recipe(tuple(parts), GREEDY, tuple(notes))
        order: Order = "id"
        law = "dist"
        if self.temperature < 0:
            lost = self.given(*cuts, "mirostat_mode")
            notes.append(f"temperature: below 0 nothing is scaled or cut{f'; dropped: {listed(lost)}' if lost else ''}")
        elif self.mirostat_mode:
            lost = self.given("temperature", *cuts)
            if lost:
                notes.append(
                    f"mirostat_mode: mirostat runs without temperature and truncations; dropped: {listed(lost)}"
                )
            name = "mirostat" if self.mirostat_mode == 1 else "mirostat_v2"
            parts.append(part(name, self.mirostat_tau, eta=self.mirostat_eta))
            order, law = "score", "discrete"
        else:
            truncations, order = self._truncations()
            parts += truncations
            if self.temperature != 1:
                parts.append(part("temperature", self.temperature))
        sampler, seed_notes = drawn(self.seed, order, law)
        return Recipe(tuple(parts), sampler, (*notes, *seed_notes))

    def _truncations(self) -> tuple[list[Part], Order]:
        """The truncations, and the order in which they leave the candidates."""
        parts: list[Part] = []
        order: Order = "id"
        if self.top_k > 0:
            parts.append(part("top_k", self.top_k))
            order = "score"
        if self.typical_p < 1:
            parts.append(part("typical_p", positive(self.typical_p), boundary="keep"))
            order = "other"
        if self.top_p < 1:
            parts += top_p(self.top_p, "lowest")
            order = "score"
        if self.min_p > 0:
            parts.append(part("min_p", self.min_p))
        return parts, order
