"""Quadratic smoothing: closer to the leader among the leaders, further away in the tail."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from decodekit import ALL, Context, Disclosure, Distribution, Plugin

__all__ = ["Quadratic"]

_GONE = 1e90  # so many nats away a token has no probability, and the cube still has a float64


class Quadratic(Plugin):
    """Replace the distance d of a score to the largest one by ``-f * d**2 * ((3 - c) / 2 - d * (c - 1) / 2)``.

    f is ``quadratic``, which engines call the smoothing factor, and c is ``curve``; with c = 1 it is ``-f * d**2``. 0
    changes nothing, as in the engines. A curve above 3 lifts tokens close to the leader over it.
    Source: kalomaze, text-generation-webui pull request 5403; koboldcpp has the same.
    """

    needs: ClassVar[Disclosure] = ALL

    quadratic: Annotated[float, Field(ge=0, le=100)]
    curve: Annotated[float, Field(ge=1, le=10)] = 1.0

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """`Undisclosed` on a head with a tail, which no bound follows through this curve."""
        if self.quadratic == 0:
            return dist
        square, cube = (3 - self.curve) / 2, (self.curve - 1) / 2
        far = np.maximum(dist.scores - dist.max_score, -_GONE)
        bent = self.quadratic * far * far * (cube * far - square)
        bent[far == -_GONE] = -np.inf
        return dist.with_scores(bent)
