"""Quadratic smoothing: likely tokens move closer to the most likely one, unlikely tokens further away."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from decodekit import ALL, Context, Disclosure, Distribution, Plugin
from decodekit.plugin.traits import Kind
from decodekit_sampling.truncation import near_zero

__all__ = ["Quadratic"]

_FARTHEST = 1e90  # nats: a token this far away has no probability, and the cube still fits a float64


class Quadratic(Plugin):
    """Move the scores of likely tokens closer to the largest score, and those of unlikely tokens further away.

    Formula: s_max + f * (d_i ** 3 * (c - 1) - d_i ** 2 * (3 - c)) / 2, with d_i = s_i - s_max, f = quadratic, c = curve
    Edges: 0 changes nothing, as in the engines; a curve of 1 leaves s_max - f * d_i ** 2; a curve above 3 raises tokens
    close to the largest score above it. The largest score stays where it was, so that penalties may follow.
    Source: kalomaze, text-generation-webui pull request 5403, where f is the smoothing factor.
    Engines: text-generation-webui, koboldcpp and aphrodite; exllamav2 writes it as an exponent of 2 in its softmax.
    Example: quadratic = 0.5
    """

    kind: ClassVar[Kind] = "reshaping"

    needs: ClassVar[Disclosure] = ALL

    quadratic: Annotated[float, Field(ge=0, le=100)]
    curve: Annotated[float, Field(ge=1, le=10)] = 1.0

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """`Undisclosed` on a head with a tail: the bounds of the tail cannot follow this curve."""
        if self.quadratic == 0:
            return dist
        dist = near_zero(dist)
        square, cube = (3 - self.curve) / 2, (self.curve - 1) / 2
        far = np.maximum(dist.scores - dist.max_score, -_FARTHEST)
        bent = dist.max_score + self.quadratic * far * far * (cube * far - square)
        bent[far == -_FARTHEST] = -np.inf
        return dist.with_scores(bent)
