"""What all truncations share: the minimum number of tokens, and which tokens stay at the edge.

Engines differ where two tokens are exactly equal, or a sum is exactly at its limit (and on the token that crosses p:
see `top_p`). Two policies say what happens there; they have the same names and the same meaning in every truncation
that has them:

* ``ties``: of the tokens exactly as good as the last one kept, when not all of them fit: ``lowest`` keeps the lowest
  ids, ``highest`` the highest ids, ``all`` keeps them all (so more than asked for may stay).
* ``boundary``: a token is judged by the sum over the tokens before it. Where that sum equals the limit, ``drop`` drops
  the token and ``keep`` keeps it.

At least ``min_keep`` tokens stay, whatever the rule says.

==================  =======================  =====================  ==========================
engine              top_k                    top_p                  typical_p
==================  =======================  =====================  ==========================
llama.cpp           ``ties="lowest"``        lowest, ``drop``       lowest, ``boundary="keep"``
transformers        ``ties="all"``           highest*, ``drop``     all, ``drop``
vLLM (torch)        ``ties="all"``           highest*, ``drop``
SGLang (torch)      lowest                   lowest, ``keep``
exllamav3           lowest                   lowest, the token that crosses goes
mlx-lm              lowest                   all, ``drop``
==================  =======================  =====================  ==========================

(*) Up to 16 tokens on the CPU: for more, torch's sort is not stable, and any of the equals may stay.

llama.cpp's sort is unstable: it keeps as many equals as ``lowest`` does, but any of them.

Comparing probabilities or log-probabilities is the same rule, so there is no policy for it. In float32 the two round
differently, and an engine may drop a token exactly at its limit; here it stays, and the distribution is marked
ambiguous.
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from decodekit import ALL, Distribution, Plugin, Undisclosed
from decodekit.distribution import AMBIGUITY
from decodekit.distribution.disclosure import Interval
from decodekit.distribution.heads import more
from decodekit.plugin.traits import Kind

__all__ = [
    *("ROUNDING", "Boundary", "Ties", "Truncation"),
    *("is_near", "keep_first", "keep_from", "near_zero", "shifted"),
]

Ties = Annotated[
    Literal["lowest", "highest", "all"],
    Field(description="which of the tokens equal to the last one kept stay: the lowest ids, the highest, or all"),
]
Boundary = Annotated[
    Literal["drop", "keep"],
    Field(description="where the sum meets the limit exactly: drop what follows, or keep one more"),
]

_OFFSET = 1e6

ROUNDING = 1e-12
"""Sums and scores this close count as equal, so that a policy decides and not the last bit of a float64."""


class Truncation(Plugin):
    """Keep some tokens with their scores; at least ``min_keep`` of them."""

    kind: ClassVar[Kind] = "truncation"
    random: ClassVar[bool] = False

    min_keep: Annotated[int, Field(ge=1, le=1_000_000, description="at least this many tokens stay")] = 1
    ties: Ties = "lowest"

    @property
    def argmax_invariant(self) -> bool:
        return self.ties != "highest"


def near_zero(dist: Distribution) -> Distribution:
    """The same distribution; where its largest score is beyond ±1e6, that is subtracted from every score.

    With such scores, a limit such as ``log_normalizer`` plus a number would be rounded by more than 1e-9.
    """
    if dist.tail is not None or abs(dist.max_score) <= _OFFSET:
        return dist
    return dist.with_scores(dist.scores - dist.max_score)


def shifted(limit: float, boundary: Boundary) -> float:
    """The limit, moved so that a plain "at least" on a rounded sum does what the boundary policy says."""
    return limit + (ROUNDING if boundary == "keep" else -ROUNDING)


def is_near(sums: NDArray[np.float64], count: int, limit: float) -> bool:
    """Whether one of the two running sums between which the cut after ``count`` tokens lies is within 1e-9 of it."""
    edge = sums[max(count - 1, 0) : count + 1].tolist()
    return any(abs(value - limit) < AMBIGUITY for value in edge)


def keep_first(dist: Distribution, count: int, ties: Ties, *, ambiguous: bool = False) -> Distribution:
    """The ``count`` most likely tokens; ``ties`` decides among equals at the edge.

    Raises:
        Undisclosed: hidden tokens could be among them, or tie with them.
    """
    kept = dist.top(count, ambiguous=ambiguous)
    if ties == "lowest" or kept.support_size < count or (dist.tail is None and kept.support_size == dist.support_size):
        return kept
    ids, scores = dist.reaching(float(kept.scores[-1]))
    if ties == "all":
        return dist.keep(ids, ambiguous=ambiguous)
    above = scores > kept.scores[-1]
    equals = np.sort(ids[~above])
    return dist.keep(np.concatenate([ids[above], equals[np.count_nonzero(above) - count :]]), ambiguous=ambiguous)


def keep_from(dist: Distribution, limit: float | Interval, min_keep: int, ties: Ties) -> Distribution:
    """The tokens whose score is at least the limit (nats), and at least ``min_keep``.

    Args:
        dist: the distribution.
        limit: the lowest score that stays; an interval where the undisclosed part leaves it open.
        min_keep: how many stay at least.
        ties: which of the equal tokens count among the ``min_keep``.

    Raises:
        Undisclosed: a hidden token could stay, or the interval leaves a token open.
    """
    low, high = (limit, limit) if isinstance(limit, float) else limit
    if not (math.isfinite(low) and math.isfinite(high)):
        raise Undisclosed(ALL, "which tokens reach a limit that depends on the hidden ones")
    kept = dist.threshold(low - ROUNDING, min_keep)
    if high > low and dist.threshold(high - ROUNDING, min_keep).support_size != kept.support_size:
        raise Undisclosed(more(dist.row, dist.hidden), "which tokens reach a limit that depends on the hidden ones")
    if ties != "lowest" and len(dist.reaching(low - ROUNDING)[0]) < min_keep:
        return keep_first(dist, min_keep, ties)
    return kept
