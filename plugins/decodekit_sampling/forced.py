"""Forced tokens: score ids that were chosen elsewhere."""

from __future__ import annotations

import math

from decodekit import BoundRandomness, Choice, Context, Distribution, ParameterError, Plugin
from decodekit_sampling.history import TokenIdTuple

__all__ = ["Forced"]


class Forced(Plugin):
    """Choose the given ids one after the other, whatever the distribution says.

    The choice holds the token's own log-probability after the chain: the ids of a trace can be scored under another
    model or another chain. Nothing is random.

    Args:
        forced: the ids, in order; the first is chosen while nothing is generated yet.

    Formula: the id at this step
    Edges: asking for more tokens than there are ids is an error.
    Source: vLLM's ``trace_decode_token_ids``.
    Engines: vLLM's newer runner, which overwrites the ids that it sampled.
    Example: forced = [0, 1, 2]

    Raises:
        PluginError: the ids have run out, or the chain left the token no probability.
    """

    forced: TokenIdTuple

    def __call__(self, dist: Distribution, ctx: Context, randomness: BoundRandomness) -> Choice:
        """`Undisclosed` on a head that does not name the token."""
        if ctx.step >= len(self.forced):
            raise ParameterError(f"forced has {len(self.forced)} ids, but token {ctx.step + 1} was requested")
        token = self.forced[ctx.step]
        return Choice(
            token_id=token,
            logprob=dist.logprob(token),
            score=float(dist.scores_of([token])[0]),
            margin=math.inf,
        )
