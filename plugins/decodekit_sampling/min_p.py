"""Min-p: the tokens not too far below the most likely one."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from decodekit import Context, Distribution
from decodekit_sampling.truncation import Truncation, keep_from

__all__ = ["MinP"]


class MinP(Truncation):
    """Keep the tokens at least min_p times as likely as the most likely one.

    Idempotent. 0 keeps all. A token exactly at the limit stays, as in llama.cpp; transformers compares float32
    probabilities, whose rounding may drop it.
    Source: Nguyen et al. 2024 (arXiv 2407.01082).
    """

    min_p: Annotated[float, Field(ge=0, le=1)]

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact on a head whose last token is below the limit; `Undisclosed` otherwise."""
        if self.min_p == 0:
            return dist
        return keep_from(dist, dist.max_score + math.log(self.min_p), self.min_keep, self.ties)
