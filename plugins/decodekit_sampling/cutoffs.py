"""Epsilon and eta cutoff: a fixed minimum probability, and one that depends on the entropy."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

from pydantic import Field

from decodekit import Context, Distribution
from decodekit.distribution.disclosure import Interval
from decodekit_sampling.truncation import Truncation, keep_from, near_zero

__all__ = ["EpsilonCutoff", "EtaCutoff"]


class EpsilonCutoff(Truncation):
    """Keep the tokens whose probability is at least epsilon.

    Formula: keep i where p_i >= epsilon_cutoff
    Edges: Idempotent; where no token reaches it, the ``min_keep`` most likely stay.
    Source: Hewitt, Manning and Liang 2022 (arXiv 2210.15191).
    Engines: transformers, text-generation-webui and aphrodite. transformers also keeps tokens equal to the last of
    ``min_keep`` (``ties="all"``).
    Example: epsilon_cutoff = 0.05
    """

    epsilon_cutoff: Annotated[float, Field(gt=0, lt=1)]

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact on a head whose last token is below the limit; `Undisclosed` otherwise."""
        least, dist = math.log(self.epsilon_cutoff), near_zero(dist)
        low, high = dist.bounds("log_normalizer")
        return keep_from(dist, Interval(low + least, high + least), self.min_keep, self.ties)


class EtaCutoff(Truncation):
    """Keep the tokens whose probability is at least eta, or less where the distribution is flat.

    Formula: keep i where p_i >= min(eta_cutoff, sqrt(eta_cutoff) * exp(-H)), with H the entropy in nats
    Edges: where no token reaches it, the ``min_keep`` most likely stay.
    Source: Hewitt, Manning and Liang 2022 (arXiv 2210.15191).
    Engines: transformers, text-generation-webui and aphrodite. transformers also keeps tokens equal to the last of
    ``min_keep`` (``ties="all"``).
    Example: eta_cutoff = 0.1
    """

    measures: ClassVar[tuple[str, str] | None] = ("entropy", "arXiv 2210.15191")

    eta_cutoff: Annotated[float, Field(gt=0, lt=1)]

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact on a head where the bounds on the entropy decide every token; `Undisclosed` otherwise."""
        dist = near_zero(dist)
        least, entropy = math.log(self.eta_cutoff), dist.bounds("entropy")
        low, high = dist.bounds("log_normalizer")
        low += min(least, least / 2 - entropy.high)
        high += min(least, least / 2 - entropy.low)
        return keep_from(dist, Interval(low, high), self.min_keep, self.ties)
