"""Top-n-sigma: the tokens within n standard deviations of the largest score."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from decodekit import ALL, Context, Disclosure, Distribution
from decodekit_sampling.truncation import Truncation, keep_from, near_zero

__all__ = ["TopNSigma"]

_LARGEST = 1e100


class TopNSigma(Truncation):
    """Keep the tokens whose score is within n standard deviations of the largest.

    Formula: keep i where s_i >= s_max - n * sigma, with sigma the population standard deviation of the scores, in nats
    Edges: masked tokens do not count; equal scores all stay; a temperature before it changes nothing, since it scales
    sigma too.
    Source: Tang et al. 2024 (arXiv 2411.07641).
    Engines: llama.cpp, koboldcpp, text-generation-webui and aphrodite. llama.cpp leaves masked tokens out as well;
    text-generation-webui counts them as 0 and takes the sample standard deviation; in aphrodite one masked token
    switches the rule off.
    Example: top_n_sigma = 1.0
    """

    measures: ClassVar[tuple[str, str] | None] = ("standard deviation", "arXiv 2411.07641")

    needs: ClassVar[Disclosure] = ALL

    top_n_sigma: Annotated[float, Field(gt=0, le=100)]

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """`Undisclosed` on every head with a tail: sigma depends on the least likely tokens most of all."""
        dist.require_complete("the standard deviation of the scores")
        dist = near_zero(dist)
        scores = dist.scores
        if dist.support_size < len(scores):
            scores = scores[scores > -np.inf]
        unit = max(1.0, abs(float(np.minimum.reduce(scores))) / _LARGEST)  # beyond it a square overflows a float64
        gaps = scores / unit
        gaps -= np.add.reduce(gaps) / len(gaps)
        gaps *= gaps
        limit = dist.max_score - self.top_n_sigma * math.sqrt(np.add.reduce(gaps) / len(gaps)) * unit
        return keep_from(dist, limit, self.min_keep, self.ties)
