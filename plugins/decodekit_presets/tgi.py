"""TGI: ``NextTokenChooser`` and its warpers."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from decodekit import ParameterError
from decodekit.plugin.presets import Part, Preset, Recipe
from decodekit_presets.shared import (
    GREEDY,
    MULTINOMIAL,
    READ,
    Factor,
    Length,
    Penalty,
    Seed,
    part,
    penalties,
    seed_note,
    top_p,
)

__all__ = ["TGI"]

_OpenShare = Annotated[float, Field(gt=0, lt=1)]


class TGI(Preset):
    """Text Generation Inference: the repetition penalty, then the temperature, top_k, top_p and typical_p.

    Any of the last four makes it sample, with or without ``do_sample``; without them it is greedy. Its frequency
    penalty has one formula for a single request and another in a batch, neither of them the usual one: it is refused
    here.
    Source: huggingface/text-generation-inference ``server/.../utils/logits_process.py``, ``tokens.py``.
    """

    versions: ClassVar[tuple[str, ...]] = (READ,)
    implied: ClassVar[frozenset[str]] = frozenset({"do_sample"})

    do_sample: bool = False
    temperature: Annotated[float, Field(gt=0, le=1000)] = 1.0
    top_k: Length = 0
    top_p: _OpenShare | None = None
    typical_p: _OpenShare | None = None
    repetition_penalty: Factor = 1.0
    frequency_penalty: Penalty = 0.0
    seed: Seed | None = None

    def recipe(self, version: str) -> Recipe:
        if self.frequency_penalty != 0:
            raise ParameterError(
                "preset 'tgi': frequency_penalty has two formulas there, by the size of the batch; write the one you "
                "want into the chain"
            )
        history = penalties(self.repetition_penalty, 0.0, 0.0, scope="both")
        warpers: list[Part] = [
            *([part("temperature", self.temperature)] if self.temperature != 1 else []),
            *([part("top_k", self.top_k, ties="all")] if self.top_k else []),
            *(top_p(self.top_p, "highest") if self.top_p is not None else []),
            *([part("typical_p", self.typical_p, ties="all")] if self.typical_p is not None else []),
        ]
        if not (self.do_sample or warpers):
            return Recipe(tuple(history), GREEDY)
        return Recipe((*history, *warpers), MULTINOMIAL, tuple(seed_note("TGI", self.seed)))
