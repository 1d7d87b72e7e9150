"""P-less: the limit is the probability that two draws agree, so there is nothing to tune."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from decodekit import Context, Distribution, ParameterError
from decodekit.distribution.disclosure import Interval
from decodekit_sampling.truncation import Truncation, keep_from, near_zero

__all__ = ["PLess", "PLessNorm"]

_Factor = Annotated[float, Field(gt=0, le=1)]


def log_collision(dist: Distribution) -> Interval:
    """The log of ``sum(p ** 2)``, the probability that two draws agree, in nats; an interval on a head with a tail."""
    squared = dist.scaled(2)
    if dist.tail is None:
        exact = 2 * dist.logprob(dist.mode) - squared.logprob(dist.mode)
        return Interval(exact, exact)
    squares, once = squared.bounds("log_normalizer"), dist.bounds("log_normalizer")
    return Interval(squares.low - 2 * once.high, min(0.0, squares.high - 2 * once.low))


class PLess(Truncation):
    """Keep the tokens at least as likely as two independent draws are to give the same token.

    Formula: keep i where p_i >= p_less * sum(p ** 2)
    Edges: 1 is the published formula, a smaller factor keeps more; the most likely token always reaches the limit. On a
    flat distribution every token is exactly at the limit; all stay, and the decision is marked ambiguous.
    Source: Tan, Wu and Howard 2025 (arXiv 2509.23234).
    Engines: mlx-vlm; proposed for llama.cpp (pull request 26035, with a slack of 1e-5 for flat distributions) and for
    transformers (41798).
    Example: p_less = 1.0
    """

    p_less: _Factor

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact on a head where the bounds on the sum decide every token; `Undisclosed` otherwise."""
        dist = near_zero(dist)
        limit, log_z = log_collision(dist), dist.bounds("log_normalizer")
        factor = math.log(self.p_less)
        return keep_from(
            dist, Interval(limit.low + log_z.low + factor, limit.high + log_z.high + factor), self.min_keep, self.ties
        )


class PLessNorm(Truncation):
    """P-less with a lower limit: the agreement that uniform draws would have is subtracted.

    It keeps more than `p_less`. V is the size of the vocabulary, masked tokens included, as published.

    Formula: keep i where p_i >= p_less_norm * (V * sum(p ** 2) - 1) / (V - 1)
    Edges: 1 is the published formula, a smaller factor keeps more; a flat distribution stays whole.
    Source: Tan, Wu and Howard 2025 (arXiv 2509.23234).
    Engines: none; the authors' own code has it.
    Example: p_less_norm = 0.9

    Raises:
        ParameterError: the size of the vocabulary is not known.
    """

    p_less_norm: _Factor

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact on a head where the bounds on the sum decide every token; `Undisclosed` otherwise."""
        dist = near_zero(dist)
        size, log_z = dist.vocab_size, dist.bounds("log_normalizer")
        if size is None:
            raise ParameterError("p_less_norm needs the size of the vocabulary, which is not known here; take p_less")
        if size == 1:
            return dist
        low, high = ((size * math.exp(log_sum) - 1) / (size - 1) for log_sum in log_collision(dist))
        if high <= 0:
            return dist  # flat: two draws agree as often as uniform ones do
        limit = Interval(
            log_z.low + math.log(low * self.p_less_norm) if low > 0 else -math.inf,
            log_z.high + math.log(high * self.p_less_norm),
        )
        return keep_from(dist, limit, self.min_keep, self.ties)
