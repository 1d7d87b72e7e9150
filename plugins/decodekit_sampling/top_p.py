"""Top-p, the nucleus: the leading tokens that together have probability p."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from decodekit import Context, Distribution
from decodekit_sampling.truncation import Boundary, Truncation, keep_first, shifted

__all__ = ["TopP"]


class TopP(Truncation):
    """Keep the smallest set of leading tokens whose probability reaches p; the token that crosses p stays.

    Summed in float64. Where the sum meets p exactly, ``boundary="drop"`` stops (llama.cpp, transformers, vLLM) and
    ``keep`` takes one more (SGLang).
    Source: Holtzman et al. 2020 (arXiv 1904.09751).
    """

    top_p: Annotated[float, Field(gt=0, le=1)]
    boundary: Boundary = "drop"

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact on a head whose mass reaches p; `Undisclosed` otherwise."""
        if self.top_p == 1:
            return dist
        limit = shifted(self.top_p, self.boundary)
        kept = dist.nucleus(min(max(limit, math.ulp(0.0)), 1.0), self.min_keep)
        if self.ties == "lowest":
            return kept
        return keep_first(dist, kept.support_size, self.ties, ambiguous=kept.ambiguous)
