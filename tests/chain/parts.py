"""Small distributions and processors to make chains of."""

from __future__ import annotations

import math
from typing import Any

from decodekit import (
    Chain,
    Context,
    Distribution,
    Randomness,
)

LOG, INF = math.log, math.inf
# Probabilities 1/2, 1/4, 1/8, 1/8.
FOUR = Distribution.dense([LOG(1 / 2) + 2, LOG(1 / 4) + 2, LOG(1 / 8) + 2, LOG(1 / 8) + 2])
HEAD = Distribution.head([0, 1], [LOG(1 / 2), LOG(1 / 4)], 4)
NOISE = Randomness(1)


def two(dist: Distribution, ctx: Context) -> Distribution:
    return dist.top(2)


def hot(dist: Distribution, ctx: Context) -> Distribution:
    return dist.scaled(0.5)


def half(dist: Distribution, ctx: Context) -> Distribution:
    return dist.nucleus(0.6)


def step(chain: Chain, dist: Distribution = FOUR, ctx: Context | None = None, **options: Any) -> tuple:
    ctx = ctx or Context()
    return chain.step(dist, ctx, chain.initial(ctx), NOISE.at(ctx.step), **options)
