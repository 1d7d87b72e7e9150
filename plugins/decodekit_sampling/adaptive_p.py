"""Adaptive-p: prefer tokens near a target probability, and hold their average there over time."""

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
    """Prefer tokens near a target probability, and hold the average of the chosen tokens' probabilities there.

    That average is over the probabilities before this processor, each step weighing ``decay`` times the one after it,
    and starts at the target. A processor, so that the final distribution of the record is the one drawn from; let it be
    the last.

    Args:
        adaptive_p: the target probability.
        decay: of the average; 0.99 looks back over about a hundred tokens.

    Formula: 5 - 10 * d_i ** 2 / (1 + d_i), with d_i = |p_i - wanted| / 0.3 and wanted = 2 * adaptive_p - average
    Edges: wanted is clamped to [0, 1]; a token without probability stays without.
    Source: llama.cpp ``llama_sampler_init_adaptive_p`` (pull request 17927).
    Engines: llama.cpp, koboldcpp, exllamav3 and text-generation-webui. llama.cpp computes in float32, so scores differ
    by about 1e-6; its first release revived masked tokens, that of llama-cpp-python 0.3.36 does not. Below 0 llama.cpp
    switches it off, text-generation-webui at 0 and exllamav3 at 1.
    Example: adaptive_p = 0.2
    """

    kind: ClassVar[Kind] = "reshaping"

    looks_back: ClassVar[bool] = True
    needs: ClassVar[Disclosure] = ALL

    adaptive_p: Annotated[float, Field(ge=0, le=1)]
    decay: Annotated[float, Field(ge=0, le=0.99)] = 0.9

    def initial(self, ctx: Context) -> _State:
        """Weighted sum and weight of an average that has been at the target for ever."""
        return self.adaptive_p / (1 - self.decay), 1 / (1 - self.decay)

    def __call__(self, dist: Distribution, ctx: Context, state: _State) -> Distribution:
        """`Undisclosed` on a head with a tail: every hidden token would get a score of its own."""
        weighted, weight = state
        wanted = min(max(2 * self.adaptive_p - weighted / weight, 0.0), 1.0)
        logprobs = dist.logprobs
        distance = np.abs(np.exp(logprobs) - wanted) / _WIDTH
        scores = _PEAK - _SHARPNESS * distance**2 / (1 + distance)
        return dist.with_scores(np.where(logprobs > -math.inf, scores, -math.inf))

    def advance(self, state: _State, choice: Choice, ctx: Context, before: Distribution) -> _State:
        weighted, weight = state
        return math.exp(before.logprob(choice.token_id)) + self.decay * weighted, 1 + self.decay * weight
