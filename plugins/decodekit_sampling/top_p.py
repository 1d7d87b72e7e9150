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

    Formula: keep the fewest tokens by falling p_i with sum(p_i) >= p
    Edges: 1 keeps all; at least min_keep tokens stay, whatever their mass; summed in float64, and a sum within 1e-9 of
    p is called ambiguous.
    Source: Holtzman et al. 2020 (arXiv 1904.09751); where the sum meets p exactly, llama.cpp's rule.
    Engines: all; they differ where the sum meets p exactly, and on ties. llama.cpp, transformers, vLLM, TGI and
    exllamav3 stop there (``boundary="drop"``), SGLang keeps one more (``"keep"``). Of equals at the edge transformers
    and vLLM keep the highest ids (``ties="highest"``), mlx-lm all of them (``"all"``). SGLang's PyTorch backend does
    not renormalise after top_k.
    Example: top_p = 0.8
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
