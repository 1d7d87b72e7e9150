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

    Formula: keep the first k by falling s_i, then rising id
    Edges: a k as large as the support changes nothing.
    Source: Fan, Lewis and Dauphin 2018 (arXiv 1805.04833); exactly k, as llama.cpp's ``top_k``.
    Engines: all. llama.cpp, SGLang, ExLlamaV3 and mlx-lm keep exactly k; transformers and vLLM also what is tied with
    the last. koboldcpp keeps 3,000 before anything else.
    Example: top_k = 3
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

    Formula: keep the fewest tokens by falling p_i with sum(p_i) >= p
    Edges: at least min_keep tokens stay, whatever their mass; a sum within 1e-9 of p is called ambiguous.
    Source: Holtzman et al. 2020 (arXiv 1904.09751); llama.cpp's boundary (stop at the first cumulative sum >= p),
    summed in float64.
    Engines: all; they differ at the boundary and on ties. transformers, vLLM and TGI drop from the least likely on what
    sums to at most 1 - p; SGLang keeps one more where the sum equals p; mlx-lm keeps all that is tied with the last.
    Example: top_p = 0.8
    """

    argmax_invariant: ClassVar[bool] = True

    top_p: Annotated[float, Field(gt=0, le=1)]
    min_keep: _MinKeep = 1

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact on a head whose mass reaches p; `Undisclosed` otherwise."""
        return dist.nucleus(self.top_p, self.min_keep)


class MinP(Plugin):
    """Keep the tokens at least min_p times as likely as the most likely one.

    Formula: keep i where s_i >= s_max + log(min_p), that is p_i >= min_p * p_max
    Edges: 0 changes nothing; 1 keeps the most likely token and its equals; at least min_keep tokens stay.
    Source: Nguyen et al. 2024 (arXiv 2407.01082); compared in log space, as llama.cpp's ``min_p``.
    Engines: all but TGI. llama.cpp and mlx-lm compare logarithms; transformers and SGLang compare probabilities, where
    rounding can drop a token that lies on the boundary.
    Example: min_p = 0.2
    """

    argmax_invariant: ClassVar[bool] = True

    min_p: Annotated[float, Field(ge=0, le=1)]
    min_keep: _MinKeep = 1

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact on a head whose last token is below the threshold; `Undisclosed` otherwise."""
        if self.min_p == 0:
            return dist
        return dist.threshold(dist.score(dist.mode) + math.log(self.min_p), self.min_keep)
