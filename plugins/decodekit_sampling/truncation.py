"""Truncations: keep the tokens that lead, by number, by mass, or by their distance from the first."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

from pydantic import Field

from decodekit import Context, Disclosure, Distribution, Plugin

__all__ = ["MinP", "TopK", "TopP"]

_MinKeep = Annotated[int, Field(ge=1, le=1_000_000)]


class TopK(Plugin):
    """Keep the k most likely tokens; the lowest ids among equals at the edge.

    Source: Fan, Lewis and Dauphin 2018 (arXiv 1805.04833); exactly k, as llama.cpp's ``top_k``.
    """

    argmax_invariant: ClassVar[bool] = True

    top_k: Annotated[int, Field(ge=1, le=10_000_000)]

    @property
    def needs(self) -> Disclosure:
        return Disclosure(self.top_k)

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact on a head of at least k tokens."""
        return dist.top(self.top_k)


class TopP(Plugin):
    """Keep the smallest set of leading tokens whose probability reaches p; the token that crosses p stays.

    Source: Holtzman et al. 2020 (arXiv 1904.09751); llama.cpp's boundary (stop at the first cumulative sum >= p),
    summed in float64.
    """

    argmax_invariant: ClassVar[bool] = True

    top_p: Annotated[float, Field(gt=0, le=1)]
    min_keep: _MinKeep = 1

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact on a head whose mass reaches p; `Undisclosed` otherwise."""
        return dist.nucleus(self.top_p, self.min_keep)


class MinP(Plugin):
    """Keep the tokens at least min_p times as likely as the most likely one.

    Source: Nguyen et al. 2024 (arXiv 2407.01082); compared in log space, as llama.cpp's ``min_p``.
    """

    argmax_invariant: ClassVar[bool] = True

    min_p: Annotated[float, Field(ge=0, le=1)]
    min_keep: _MinKeep = 1

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact on a head whose last token is below the threshold; `Undisclosed` otherwise."""
        if self.min_p == 0:
            return dist
        return dist.threshold(dist.score(dist.mode) + math.log(self.min_p), self.min_keep)
