"""Min-p: the tokens not too far below the most likely one."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from decodekit import Context, Distribution
from decodekit_sampling.truncation import Truncation, keep_from, near_zero

__all__ = ["MinP"]


class MinP(Truncation):
    """Keep the tokens at least min_p times as likely as the most likely one.

    Formula: keep i where s_i >= s_max + log(min_p), that is p_i >= min_p * p_max
    Edges: Idempotent; 0 keeps all; 1 keeps the most likely token and its equals; a token exactly at the limit stays.
    Source: Nguyen et al. 2024 (arXiv 2407.01082); compared in log space, as llama.cpp's ``min_p``.
    Engines: all but TGI. llama.cpp and mlx-lm compare logarithms; transformers and SGLang compare float32
    probabilities, where rounding can drop a token that lies on the boundary.
    Example: min_p = 0.2
    """

    min_p: Annotated[float, Field(ge=0, le=1)]

    def after_heat(self, temperature: float) -> str:
        """exp(gap / T) >= a is exp(gap) >= a ** T."""
        return f"it keeps what min_p={self.min_p**temperature:.3g} would keep before it"

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact on a head whose last token is below the limit; `Undisclosed` otherwise."""
        if self.min_p == 0:
            return dist
        dist = near_zero(dist)
        return keep_from(dist, dist.max_score + math.log(self.min_p), self.min_keep, self.ties)
