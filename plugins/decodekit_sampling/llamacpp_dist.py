"""The draw of llama.cpp, bit for bit, so that its runs can be reproduced token for token."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from decodekit import BoundRandomness, Choice, Context, Distribution, Plugin, derive
from decodekit_sampling.mt19937 import Seed, uniform_double

__all__ = ["LlamaCppDist"]


class LlamaCppDist(Plugin):
    """Draw as llama.cpp does: one uniform number of ``std::mt19937``, and llama.cpp's own order of candidates.

    The state is the generator's position in 32-bit words. The choice's ``score`` is the uniform, its ``margin`` the
    distance to the nearer edge of the token's cell, in mass; ``draw`` is None, because the random word is not one of
    decodekit's generator (RNG.md). A trace verifies as 'consistent'; at level 'full' with ``chain=True``, as
    'reproduced'.

    Args:
        llamacpp_dist: the seed given to llama.cpp. None derives one from the session's seed and the stream, so that the
            sequences of one run differ (in llama.cpp they would not).
        order: the order of the candidates after llama.cpp's chain: 'score' if top_k, top_p or mirostat sorted them,
            'id' if nothing did. typical leaves a third order, and xtc alone sorts only at some steps; these are not
            supported.
        law: 'dist' for the sampler of that name; 'discrete' for the ``std::discrete_distribution`` inside mirostat and
            adaptive_p.

    Formula: the first i with w_1 + ... + w_i >= u * sum(w), where w_i = exp(s_i - s_max) in float32, summed in float64
    Edges: a single candidate uses a random number in 'dist', as measured in llama-cpp-python 0.3.36 (some releases skip
    it), and none in 'discrete'; in the order 'score', decodekit sorts equal scores by rising id.
    Source: llama.cpp ``llama_sampler_init_dist`` and ``llama_sample_dist``.
    Engines: llama.cpp built with libstdc++, as on Linux. Where nothing has probability it silently takes the last
    candidate; here that is an error.
    Example: order = "id"
    """

    llamacpp_dist: Seed | None = None
    order: Literal["score", "id"] = "score"
    law: Literal["dist", "discrete"] = "dist"

    def initial(self, ctx: Context) -> int:
        """Two words for each token so far."""
        return 2 * ctx.step

    def __call__(self, dist: Distribution, ctx: Context, randomness: BoundRandomness, state: int) -> Choice:
        """Raises `Undisclosed` on a head with a tail: the draw sums over every candidate."""
        ids = dist.order if self.order == "score" else np.sort(dist.support())
        seed = self.llamacpp_dist
        if seed is None:
            seed = derive(randomness.seed, "llamacpp_dist", randomness.stream, randomness.draw) % (2**32 - 1)
        if len(ids) == 1:
            return _choice(dist, int(ids[0]), 0.0, math.inf, None)
        u = uniform_double(seed, state)
        scores = dist.scores_of(ids).astype(np.float32)
        # exp in float64, rounded once: what a good float32 exp gives, and the same on every machine.
        weights = np.exp((scores - scores.max()).astype(np.float64)).astype(np.float32)
        if self.law == "discrete":
            probabilities = (weights / np.cumsum(weights)[-1]).astype(np.float64)
            cumulative = np.cumsum(probabilities / np.cumsum(probabilities)[-1])
            cumulative[-1] = total = 1.0
        else:
            cumulative = np.cumsum(weights, dtype=np.float64)
            total = float(cumulative[-1])
        where = int(np.searchsorted(cumulative, u * total, side="left"))
        edges = [(float(cumulative[where]) - u * total, where + 1)]
        if where:
            edges.append((u * total - float(cumulative[where - 1]), where - 1))
        margin, neighbour = min(edge for edge in edges if edge[1] < len(ids))
        return _choice(dist, int(ids[where]), u, margin / total, int(ids[neighbour]))

    def advance(self, state: int, choice: Choice, ctx: Context) -> int:
        lone = choice.runner_up is None
        return state if lone and self.law == "discrete" else state + 2


def _choice(dist: Distribution, token: int, score: float, margin: float, runner_up: int | None) -> Choice:
    return Choice(
        token_id=token,
        logprob=dist.logprob(token),
        score=score,
        margin=margin,
        runner_up=runner_up,
    )
