"""Skew: bend the cumulative distribution, so that a draw falls further down or up the list."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from decodekit import ALL, Context, Disclosure, Distribution, Plugin
from decodekit.plugin.traits import Kind
from decodekit_sampling.truncation import near_zero

__all__ = ["Skew"]


class Skew(Plugin):
    """Bend the cumulative distribution: above 0 later tokens gain probability, below 0 earlier ones.

    Drawing with ``u ** exp(-skew)`` in place of the uniform u gives the same distribution; as a processor it is exact
    for every sampler, and the record holds the distribution that was drawn from.

    Args:
        skew: the exponent's logarithm.
        order: the order of the cumulative sum: 'score' from the most likely token down, 'id' by rising token id, which
            gives a different distribution.

    Formula: C_i ** a - C_{i-1} ** a, with C_i = p_1 + ... + p_i in that order and a = exp(skew)
    Edges: 0 changes nothing.
    Source: exllamav2's ``skew``.
    Engines: exllamav2, by falling probability; it also multiplies its uniform by 0.9998, so that the last tokens are
    never drawn; that is not reproduced here. aphrodite cumulates by id (``order="id"``).
    Example: skew = 0.5
    """

    kind: ClassVar[Kind] = "reshaping"

    needs: ClassVar[Disclosure] = ALL

    skew: Annotated[float, Field(ge=-10, le=10)]
    order: Literal["score", "id"] = "score"

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """`Undisclosed` on a head with a tail: the positions of the hidden tokens would be needed."""
        if self.skew == 0:
            return dist
        dist = near_zero(dist)
        ids = dist.order if self.order == "score" else np.sort(dist.support())
        logprobs = dist.logprobs_of(ids)
        cumulative = np.logaddexp.accumulate(logprobs)
        power = math.exp(self.skew)
        # C**a - c**a, where c lacks this token's share of C, is C**a * (1 - (1 - share)**a).
        log_share = np.minimum(logprobs - cumulative, 0.0)
        share = np.exp(log_share)
        with np.errstate(divide="ignore"):
            part = np.log(-np.expm1(power * np.log1p(-share)))
        part = np.where(power * share < 1e-9, self.skew + log_share, part)  # where 1 - share would lose precision
        return dist.add(ids, power * cumulative + part - dist.scores_of(ids))
