"""Top-p, the nucleus: the leading tokens that together have probability p."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from decodekit import Context, Distribution
from decodekit.distribution.together import sum_lists
from decodekit_sampling.truncation import ROUNDING, Boundary, Truncation, keep_first, shifted

__all__ = ["TopP"]


class TopP(Truncation):
    """Keep the smallest set of leading tokens whose probability reaches p; the token that crosses p stays.

    Formula: keep the fewest tokens by falling p_i with sum(p_i) >= p
    Edges: 1 keeps all; at least min_keep tokens stay, whatever their mass; summed in float64, and a sum within 1e-9 of
    p is marked ambiguous. With ``crossing="drop"`` the token that crosses p is dropped: as many tokens stay as have a
    sum of at most p, and always the first; with ``ties="all"`` its equals are dropped too.
    Source: Holtzman et al. 2020 (arXiv 1904.09751); where the sum meets p exactly, llama.cpp's rule.
    Engines: all; they differ where the sum meets p exactly, and on ties. llama.cpp, transformers, vLLM and TGI stop
    there (``boundary="drop"``), SGLang keeps one more (``"keep"``). Of equal tokens at the edge transformers and vLLM
    keep the highest ids (``ties="highest"``), on the CPU up to 16 tokens only: for more, torch's sort is not stable and
    any of them may stay. mlx-lm keeps all of them (``"all"``). exllamav3 drops the token that crosses. SGLang's PyTorch
    backend does not renormalise after top_k.
    Example: top_p = 0.8
    """

    top_p: Annotated[float, Field(gt=0, le=1)]
    boundary: Boundary = "drop"
    crossing: Annotated[Literal["keep", "drop"], Field(description="the token that crosses p: kept, or dropped")] = (
        "keep"
    )

    def after_heat(self, temperature: float) -> str:
        return "it uses the probabilities after the temperature, which are flatter, and keeps more unlikely tokens"

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact on a head whose mass reaches p; `Undisclosed` otherwise."""
        if self.top_p == 1:
            return dist
        limit = shifted(self.top_p, self.boundary)
        kept = dist.nucleus(min(max(limit, math.ulp(0.0)), 1.0), self.min_keep)
        if self.crossing == "drop":
            kept = self._without_crossing(dist, kept)
        if self.ties == "lowest":
            return kept
        return keep_first(dist, kept.support_size, self.ties, ambiguous=kept.ambiguous)

    def many(self, dists: Sequence[Distribution], ctxs: Sequence[Context]) -> list[Distribution]:
        """As a call for each row; the cumulative sums of all rows are made together."""
        sum_lists(dist.row for dist in dists if dist.hidden is None)
        return [self(dist, ctx) for dist, ctx in zip(dists, ctxs, strict=True)]

    def _without_crossing(self, dist: Distribution, kept: Distribution) -> Distribution:
        """What is left without the last token of ``kept``, unless the sum is p exactly."""
        count = kept.support_size
        mass = float(np.exp(dist.logprobs_of(kept.order)).sum())
        count -= mass > self.top_p + ROUNDING
        if self.ties == "all":
            scores = dist.top(count + 1).scores_of(dist.top(count + 1).order)
            if len(scores) > count:  # the next token crosses, and its equals with it
                count = int(np.count_nonzero(scores > scores[-1]))
        return dist.top(max(count, self.min_keep), ambiguous=kept.ambiguous)
