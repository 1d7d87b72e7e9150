"""Penalties on tokens that occurred before, in the prompt, in the output, or in both."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, model_validator

from decodekit import Context, Disclosure, Distribution, Plugin
from decodekit.plugin.traits import Kind
from decodekit_sampling.history import NonEmptyTokenIds, Scope, TokenId, Window, named, recent, weighed

__all__ = ["EncoderRepetitionPenalty", "FrequencyPenalty", "Law", "PresencePenalty", "RepetitionPenalty"]

Law = Annotated[
    Literal["logits", "logprobs"],
    Field(description="what counts as a score: the backend's logit, or the log-probability"),
]
Floats = NDArray[np.float64]


def _needs_window(field: str, least: int) -> dict[str, Any]:
    """As JSON Schema: a field that is set to this value or more requires a window."""
    is_set = {"properties": {field: {"type": "integer", "minimum": least}}, "required": [field]}
    return {"if": is_set, "then": {"properties": {"window": {"type": "integer"}}, "required": ["window"]}}


_FADING = (_needs_window("decay", 1), _needs_window("padding", 0))
_SLOPE_AND_DECAY: dict[str, Any] = {
    "properties": {"slope": {"not": {"const": 1}}, "decay": {"minimum": 1}},
    "required": ["slope", "decay"],
}


class _History(Plugin):
    """Which tokens count, and how much.

    The ``window`` most recent tokens count in full; over the ``decay`` tokens before them the weight falls in equal
    steps, to 0 at the oldest. (exllama calls the two ranges sustain and decay.)
    """

    model_config = ConfigDict(json_schema_extra={"allOf": [*_FADING]})
    kind: ClassVar[Kind] = "penalty"

    scope: Scope = "both"
    window: Window | None = None
    decay: Annotated[
        int,
        Field(ge=0, le=10_000_000, description="number of tokens before the window over which the weight falls to 0"),
    ] = 0
    padding: Annotated[
        TokenId | None, Field(description="fills the window while the text is shorter (koboldcpp: 0); None: nothing")
    ] = None

    @model_validator(mode="after")
    def _decay_after_a_window(self) -> Self:
        if self.decay and self.window is None:
            raise ValueError("decay begins where the window ends; give a window too")
        if self.padding is not None and self.window is None:
            raise ValueError("padding fills a window; give one too")
        return self

    @property
    def _reach(self) -> int | None:
        return None if self.window is None else self.window + self.decay

    def needs(self, ctx: Context) -> Disclosure:
        """The penalised tokens by name; on a head they may lie in the tail."""
        return named(self._history(ctx))

    def _history(self, ctx: Context) -> NDArray[np.int64]:
        history = recent(ctx, self.scope, self._reach)
        if self.padding is None or self.window is None or len(history) >= self.window:
            return history
        return np.concatenate([np.full(self.window - len(history), self.padding, dtype=np.int64), history])

    def _weighed(self, ctx: Context) -> tuple[NDArray[np.int64], Floats, Floats]:
        history = self._history(ctx)
        return weighed(history, self._weights(len(history)))

    def _weights(self, length: int) -> Floats | None:
        """float64[length], oldest first; None when all are one."""
        if self.window is None or self.decay == 0:
            return None
        distance = np.arange(length, 0, -1)
        return np.clip(1 - (distance - self.window) / self.decay, 0, 1)


def _penalised(scores: Floats, penalty: float | Floats) -> Floats:
    """Positive scores divided by the penalty, the others multiplied with it."""
    return np.where(scores > 0, scores / penalty, scores * penalty)


def _scores(dist: Distribution, ids: NDArray[np.int64], law: Law) -> Floats:
    return dist.scores_of(ids) if law == "logits" else dist.logprobs_of(ids)


class RepetitionPenalty(_History):
    """Divide positive scores of tokens that occurred by the penalty, multiply negative ones with it.

    The formula depends on the offset of the backend's scores, so it needs logits. ``law="logprobs"`` is a different
    formula: every score is a log-probability, hence negative, and is multiplied.

    ``fade`` says what a weight w below one means, with the penalty p: 'score' mixes the score with its penalised
    value, ``(1 - w) * s + w * s'`` (exllamav3); 'penalty' takes the penalty ``1 + w * (p - 1)`` (exllamav2, whose
    ``sustain`` is one less than this window). ``slope`` gives the older half of the window, rounded down, the penalty
    ``1 + slope * (p - 1)`` where p is above one (koboldcpp); 1 is the full penalty. The window is halved, not the text.

    Formula: s_i / penalty where s_i > 0, s_i * penalty elsewhere, for tokens with c_i > 0
    Edges: 1 changes nothing; below 1 it rewards; a score of 0 stays, and so does a token without probability.
    Source: Keskar et al. 2019 (arXiv 1909.05858); signs as in transformers and llama.cpp.
    Engines: all, over different histories: prompt and output in transformers and vLLM, the output in SGLang and
    llama-cpp-python, the last 64 tokens in llama.cpp's server, the last 20 in mlx-lm; koboldcpp penalises the older
    half of its range less, and exllamav3 lets the penalty decay.
    Example: repetition_penalty = 1.5
    """

    model_config = ConfigDict(json_schema_extra={"allOf": [*_FADING, {"not": _SLOPE_AND_DECAY}]})

    repetition_penalty: Annotated[float, Field(gt=0, le=1e9)]
    law: Law = "logits"
    fade: Literal["score", "penalty"] = "score"
    slope: Annotated[float, Field(gt=0, le=1)] = 1.0

    @model_validator(mode="after")
    def _one_way_to_fade(self) -> Self:
        if self.slope != 1 and self.decay:
            raise ValueError("slope and decay are two different ways to reduce the penalty; use one of them")
        return self

    @property
    def needs_logits(self) -> bool:
        return self.law == "logits"

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact wherever all tokens that occurred are disclosed."""
        penalty = self.repetition_penalty
        ids, _, weight = self._weighed(ctx)
        if len(ids) == 0 or penalty == 1:
            return dist
        scores = _scores(dist, ids, self.law)
        alive = (scores > -np.inf) & (weight > 0)
        ids, scores, weight = ids[alive], scores[alive], weight[alive]
        if self.fade == "penalty" or self.slope != 1:
            change = _penalised(scores, 1 + weight * (penalty - 1)) - scores
        else:
            change = weight * (_penalised(scores, penalty) - scores)
        return dist.add(ids, change)

    def _weights(self, length: int) -> Floats | None:
        if self.slope == 1 or self.repetition_penalty <= 1:
            return super()._weights(length)
        window = length if self.window is None else self.window
        weights = np.ones(length)
        weights[: max(0, length - (window - window // 2))] = self.slope
        return weights


class FrequencyPenalty(_History):
    """Subtract the penalty for every occurrence of a token, multiplied by the weight of the occurrence.

    Formula: s_i - penalty * c_i
    Edges: 0 changes nothing; below 0 it rewards.
    Source: the OpenAI API; llama.cpp ``penalties``. The default scope is the output, as in the API; ``decay`` as in
    exllamav3.
    Engines: most. vLLM and SGLang count the output; llama.cpp, text-generation-webui and mlx-lm a window that reaches
    into the prompt. TGI has two different formulas, one for a single request and one for a batch.
    Example: frequency_penalty = 1.0, scope = "both"
    """

    frequency_penalty: Annotated[float, Field(ge=-100, le=100)]
    scope: Scope = "output"

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact wherever all tokens that occurred are disclosed."""
        if self.frequency_penalty == 0:
            return dist
        ids, total, _ = self._weighed(ctx)
        return dist.add(ids, -self.frequency_penalty * total)


class PresencePenalty(_History):
    """Subtract the penalty from every token that occurred, however often.

    Formula: s_i - penalty where c_i > 0
    Edges: 0 changes nothing; below 0 it rewards.
    Source: the OpenAI API; llama.cpp ``penalties``. The default scope is the output, as in the API; ``decay`` as in
    exllamav3: the most recent occurrence decides the weight.
    Engines: most. vLLM and SGLang count the output; llama.cpp, text-generation-webui and mlx-lm a window that reaches
    into the prompt.
    Example: presence_penalty = 1.0, scope = "both"
    """

    presence_penalty: Annotated[float, Field(ge=-100, le=100)]
    scope: Scope = "output"

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact wherever all tokens that occurred are disclosed."""
        if self.presence_penalty == 0:
            return dist
        ids, _, largest = self._weighed(ctx)
        return dist.add(ids, -self.presence_penalty * largest)


class EncoderRepetitionPenalty(Plugin):
    """Favour the tokens of the prompt, or of other given ids.

    The formula depends on the offset of the backend's scores, so it needs logits, or ``law="logprobs"``, as
    `repetition_penalty` does.

    Formula: s_i * penalty where s_i > 0, s_i / penalty elsewhere, for these ids
    Edges: 1 changes nothing; below 1 it disfavours them; a score of 0 stays.
    Source: transformers ``encoder_repetition_penalty``.
    Engines: transformers, whose encoder ids are the prompt of a decoder-only model, and text-generation-webui.
    Example: encoder_repetition_penalty = 1.5
    """

    kind: ClassVar[Kind] = "penalty"

    encoder_repetition_penalty: Annotated[float, Field(gt=0, le=100)]
    ids: NonEmptyTokenIds | None = None
    law: Law = "logits"

    @property
    def needs_logits(self) -> bool:
        return self.law == "logits"

    def needs(self, ctx: Context) -> Disclosure:
        """The favoured tokens by name."""
        return named(self._ids(ctx))

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact wherever all of these tokens are disclosed."""
        ids = np.unique(self._ids(ctx))
        if len(ids) == 0 or self.encoder_repetition_penalty == 1:
            return dist
        scores = _scores(dist, ids, self.law)
        ids, scores = ids[scores > -np.inf], scores[scores > -np.inf]
        return dist.add(ids, _penalised(scores, 1 / self.encoder_repetition_penalty) - scores)

    def _ids(self, ctx: Context) -> NDArray[np.int64]:
        return np.asarray(ctx.prompt_ids if self.ids is None else self.ids, dtype=np.int64)
