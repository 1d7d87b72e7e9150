"""Top-a: min-p whose factor grows with the confidence of the model."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from decodekit import Context, Distribution
from decodekit.distribution.disclosure import Interval
from decodekit_sampling.truncation import Truncation, keep_from, near_zero

__all__ = ["TopA"]


class TopA(Truncation):
    """Keep the tokens whose probability is at least top_a times the square of the largest one.

    Formula: keep i where p_i >= top_a * p_max ** 2
    Edges: 0 keeps all; the most likely token always reaches the limit.
    Source: BlinkDL's RWKV-LM.
    Engines: koboldcpp, exllamav2, text-generation-webui and aphrodite.
    Example: top_a = 0.5
    """

    top_a: Annotated[float, Field(ge=0, le=1)]

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact on a head whose last token is below the limit; `Undisclosed` otherwise."""
        if self.top_a == 0:
            return dist
        dist = near_zero(dist)
        log_z = dist.bounds("log_normalizer")
        doubled = math.log(self.top_a) + 2 * dist.max_score
        return keep_from(dist, Interval(doubled - log_z.high, doubled - log_z.low), self.min_keep, self.ties)
