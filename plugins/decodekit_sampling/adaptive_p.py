"""Adaptive-p: prefer tokens near a target probability, and keep the average of the chosen ones there."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from decodekit import ALL, Choice, Context, Disclosure, Distribution, Plugin
from decodekit.plugin.traits import Kind

__all__ = ["AdaptiveP"]

_PEAK, _SHARPNESS, _WIDTH = 5.0, 10.0, 0.3
_State = tuple[float, float]


class AdaptiveP(Plugin):
    """Prefer tokens near a target probability, and keep the average probability of the chosen tokens there.

    The average is taken over the probabilities before this processor and starts at the target; each step weighs
    ``decay`` times as much as the step after it. This is a processor, so the final distribution in the record is the
    one that was drawn from. Put it last in the chain.

    Args:
        adaptive_p: the target probability.
        decay: the decay factor of the average; 0.99 covers about the last hundred tokens.

    Formula: 5 - 10 * d_i ** 2 / (1 + d_i), with d_i = |p_i - wanted| / 0.3 and wanted = 2 * adaptive_p - average
    Edges: wanted is clamped to [0, 1]; a token with probability 0 keeps it.
    Source: llama.cpp ``llama_sampler_init_adaptive_p`` (pull request 17927).
    Engines: llama.cpp, koboldcpp, exllamav3 and text-generation-webui. llama.cpp computes in float32, so scores differ
    by about 1e-6; its first release gave masked tokens probability again, the one in llama-cpp-python 0.3.36 does not.
    llama.cpp switches it off below 0, text-generation-webui at 0, exllamav3 at 1.
    Example: adaptive_p = 0.2
    """

    kind: ClassVar[Kind] = "reshaping"

    looks_back: ClassVar[bool] = True
    needs: ClassVar[Disclosure] = ALL

    adaptive_p: Annotated[float, Field(ge=0, le=1)]
    decay: Annotated[float, Field(ge=0, le=0.99)] = 0.9

    def initial(self, ctx: Context) -> _State:
        """The weighted sum and the weight of an average that starts at the target."""
        return self.adaptive_p / (1 - self.decay), 1 / (1 - self.decay)

    def __call__(self, dist: Distribution, ctx: Context, state: _State) -> Distribution:
        """`Undisclosed` on a head with a tail: each hidden token would get a different score."""
        weighted, weight = state
        wanted = min(max(2 * self.adaptive_p - weighted / weight, 0.0), 1.0)
        logprobs = dist.logprobs
        distance = np.abs(np.exp(logprobs) - wanted) / _WIDTH
        scores = _PEAK - _SHARPNESS * distance**2 / (1 + distance)
        return dist.with_scores(np.where(logprobs > -math.inf, scores, -math.inf))

    def advance(self, state: _State, choice: Choice, ctx: Context, before: Distribution) -> _State:
        weighted, weight = state
        return math.exp(before.logprob(choice.token_id)) + self.decay * weighted, 1 + self.decay * weight
