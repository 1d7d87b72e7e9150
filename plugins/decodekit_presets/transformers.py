"""transformers: the processors that ``generate`` builds, in their fixed order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field, field_validator

from decodekit import ParameterError
from decodekit.plugin.presets import Part, Preset, Recipe
from decodekit_presets.shared import (
    GREEDY,
    MULTINOMIAL,
    Factor,
    Length,
    Probability,
    TokenIdTuple,
    ends_note,
    listed,
    part,
    positive,
    top_p,
)

__all__ = ["Transformers"]

_Share = Annotated[float, Field(ge=0, lt=1)]
_Size = Annotated[int, Field(ge=0, le=1000)]
_WARPERS = ("temperature", "top_h", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff")


class Transformers(Preset):
    """transformers ``generate``: penalties and masks, then the temperature, then the truncations.

    As in transformers, ``do_sample`` is False by default: without it the choice is greedy, and temperature and
    truncations are dropped. The penalties' history is prompt and output. ``eos_token_id`` is the tokenizer's if not
    given. Of equal tokens at the edge of top_p the highest ids stay, as with torch's sort of up to 16 numbers on the
    CPU; with more, transformers may keep any of them.
    Source: transformers 5.23.0 ``generation/utils.py``, ``_get_logits_processor``.
    """

    versions: ClassVar[tuple[str, ...]] = ("5.23.0",)
    aliases: ClassVar[dict[str, str]] = {
        "no_repeat_ngram": "no_repeat_ngram_size",
        "encoder_no_repeat_ngram": "encoder_no_repeat_ngram_size",
        "bad_words": "bad_words_ids",
    }

    do_sample: bool = False
    temperature: Annotated[float, Field(gt=0, le=1000)] = 1.0
    top_h: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Length = 50
    top_p: Probability = 1.0
    min_p: Probability = 0.0
    typical_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    epsilon_cutoff: _Share = 0.0
    eta_cutoff: _Share = 0.0
    repetition_penalty: Factor = 1.0
    encoder_repetition_penalty: Factor = 1.0
    no_repeat_ngram_size: _Size = 0
    encoder_no_repeat_ngram_size: _Size = 0
    sequence_bias: Any = None
    bad_words_ids: Annotated[tuple[TokenIdTuple, ...], Field(strict=False, max_length=100_000)] = ()
    min_length: Length = 0
    min_new_tokens: Length = 0
    max_length: Length = 0
    eos_token_id: TokenIdTuple | None = None
    forced_eos_token_id: TokenIdTuple | None = None
    exponential_decay_length_penalty: tuple[Length, Factor] | None = Field(default=None, strict=False)
    suppress_tokens: TokenIdTuple = ()
    begin_suppress_tokens: TokenIdTuple = ()
    remove_invalid_values: bool = False
    renormalize_logits: bool = False

    @field_validator("eos_token_id", "forced_eos_token_id", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, int) and not isinstance(value, bool) else value

    @classmethod
    def ported(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        return {"do_sample": True, **super().ported(settings)}

    def recipe(self, version: str) -> Recipe:
        warpers, notes = self._warpers(), []
        if not self.do_sample and self.given(*_WARPERS):
            notes.append(f"do_sample: without it the choice is greedy; dropped: {listed(self.given(*_WARPERS))}")
        if self.eos_token_id is not None:
            notes.append(ends_note("eos_token_id"))
        if self.min_length and "min_new_tokens" in self.model_fields_set:
            notes.append("min_length: min_new_tokens takes precedence, and transformers drops it")
        if self.max_length and self.forced_eos_token_id is None:
            notes.append("max_length: the limit on a text is generate(max_tokens=...), without the prompt")
        if self.renormalize_logits:
            notes.append("renormalize_logits: it shifts all scores alike, and so changes no distribution")
        if self.remove_invalid_values:
            notes.append("remove_invalid_values: transformers turns NaN into 0; here NaN is an error")
        parts = (*self._masks(), *(warpers if self.do_sample else ()))
        return Recipe(parts, MULTINOMIAL if self.do_sample else GREEDY, tuple(notes))

    def _masks(self) -> list[Part]:
        ends = {} if self.eos_token_id is None else {"eos_ids": self.eos_token_id}
        parts: list[Part] = []
        if self.sequence_bias:
            parts.append(part("sequence_bias", _pairs(self.sequence_bias)))
        if self.encoder_repetition_penalty != 1:
            parts.append(part("encoder_repetition_penalty", self.encoder_repetition_penalty))
        if self.repetition_penalty != 1:
            parts.append(part("repetition_penalty", self.repetition_penalty))
        if self.no_repeat_ngram_size:
            parts.append(part("no_repeat_ngram", self.no_repeat_ngram_size))
        if self.encoder_no_repeat_ngram_size:
            parts.append(part("encoder_no_repeat_ngram", self.encoder_no_repeat_ngram_size))
        spared = [(token,) for token in self.eos_token_id or ()]
        words = tuple(word for word in self.bad_words_ids if word not in spared)
        if words:
            parts.append(part("bad_words", words))
        if self.min_length and "min_new_tokens" not in self.model_fields_set:
            parts.append(part("min_length", self.min_length, **ends))
        if self.min_new_tokens:
            parts.append(part("min_new_tokens", self.min_new_tokens, **ends))
        if self.forced_eos_token_id is not None:
            if not self.max_length:
                raise ParameterError("preset 'transformers': forced_eos_token_id acts at max_length; give it too")
            parts.append(part("forced_eos", self.forced_eos_token_id, max_length=self.max_length, equal=True))
        if self.exponential_decay_length_penalty is not None:
            start, factor = self.exponential_decay_length_penalty
            parts.append(part("exponential_length_decay", factor, start=start, **ends))
        if self.suppress_tokens:
            parts.append(part("suppressed_tokens", self.suppress_tokens))
        if self.begin_suppress_tokens:
            parts.append(part("begin_suppressed_tokens", self.begin_suppress_tokens))
        return parts

    def _warpers(self) -> list[Part]:
        parts: list[Part] = []
        if self.temperature != 1:
            parts.append(part("temperature", self.temperature))
        if self.top_h is not None:
            parts.append(part("top_h", self.top_h))
        if self.top_k:
            parts.append(part("top_k", self.top_k, ties="all"))
        parts += top_p(self.top_p, "highest")
        if self.min_p > 0:
            parts.append(part("min_p", self.min_p))
        if self.typical_p < 1:
            parts.append(part("typical_p", positive(self.typical_p), ties="all"))
        if self.epsilon_cutoff > 0:
            parts.append(part("epsilon_cutoff", self.epsilon_cutoff, ties="all"))
        if self.eta_cutoff > 0:
            parts.append(part("eta_cutoff", self.eta_cutoff, ties="all"))
        return parts


def _pairs(sequence_bias: Any) -> tuple[Any, ...]:
    """transformers takes {(ids): bias} or [[ids, bias], ...]."""
    pairs = sequence_bias.items() if isinstance(sequence_bias, dict) else sequence_bias
    try:
        return tuple((tuple(ids), float(bias)) for ids, bias in pairs)
    except (TypeError, ValueError):
        raise ParameterError(
            f"preset 'transformers': sequence_bias pairs token ids with a bias, unlike {sequence_bias!r}"
        ) from None
