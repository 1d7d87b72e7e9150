"""A processor and a sampler for decodekit."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from decodekit import BoundRandomness, Choice, Context, Distribution, Draw, Plugin
from pydantic import Field

__all__ = ["Daring", "Sharpen"]


class Sharpen(Plugin):
    """Multiply every score by a factor: above 1 the likely tokens gain, below 1 the others.

    Formula: s_i * sharpen
    Edges: 1 changes nothing.
    Source: the reciprocal of a temperature.
    Example: sharpen = 2.0
    """

    argmax_invariant: ClassVar[bool] = True

    sharpen: Annotated[float, Field(gt=0, le=100)]

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """The reshaped distribution; the bounds of a tail are scaled too."""
        return dist.scaled(self.sharpen)


class Daring(Plugin):
    """Draw with less noise, or with more: at 0 it is greedy, at 1 it draws from the distribution.

    Formula: argmax of log(p_i) + daring * g_i, with g_i standard Gumbel noise
    Source: the Gumbel-max trick.
    Example: daring = 0.5
    """

    daring: Annotated[float, Field(ge=0, le=10)]

    def __call__(self, dist: Distribution, ctx: Context, randomness: BoundRandomness) -> Choice:
        """Exact on a complete distribution; `Undisclosed` on a head."""
        ids = dist.support()
        noisy = dist.logprobs_of(ids) + self.daring * randomness.gumbel(ids)
        order = np.argsort(-noisy, kind="stable")  # the lowest id first among equals
        token, alone = int(ids[order[0]]), len(ids) == 1
        return Choice(
            token_id=token,
            logprob=dist.logprob(token),
            score=float(noisy[order[0]]),
            margin=np.inf if alone else float(noisy[order[0]] - noisy[order[1]]),
            runner_up=None if alone else int(ids[order[1]]),
            draw=self._draw(token, randomness) if self.daring else None,
        )

    def _draw(self, token: int, randomness: BoundRandomness) -> Draw:
        """The random word of the chosen token, for the record."""
        word = int(randomness.words([token])[0])
        return Draw(randomness.domain, randomness.stream, randomness.step, randomness.draw, token, word)
