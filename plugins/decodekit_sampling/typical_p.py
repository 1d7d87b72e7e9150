"""Locally typical sampling: the tokens whose surprisal is nearest to the entropy."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from decodekit import Context, Distribution, Undisclosed
from decodekit.distribution import AMBIGUITY
from decodekit.distribution.heads import more
from decodekit_sampling.truncation import Boundary, Ties, Truncation, is_near, near_zero, shifted

__all__ = ["TypicalP"]

_REACH = 4.0  # nats around the entropy that are looked at first
_FEW = 4096  # up to this many are sorted; more are put into bins first
_BINS = 1024


class TypicalP(Truncation):
    """Keep the tokens whose surprisal is nearest to the entropy, until their probability reaches typical_p.

    The token that crosses it stays. The most likely token may be dropped.

    Formula: by rising |-log(p_i) - H|, keep the fewest tokens with sum(p_i) >= typical_p; H is the entropy in nats
    Edges: 1 keeps all; masked tokens do not count; where the sum meets typical_p exactly, ``boundary`` decides.
    Source: Meister et al. 2022 (arXiv 2202.00666).
    Engines: llama.cpp, transformers, exllamav2, koboldcpp, text-generation-webui, TGI and aphrodite. Where the sum
    meets typical_p exactly, transformers stops (``boundary="drop"``) and llama.cpp takes one more (``"keep"``);
    transformers keeps all ties (``ties="all"``); aphrodite drops the token that crosses. In llama.cpp one masked token
    makes the entropy NaN, which silently changes the rule.
    Example: typical_p = 0.4
    """

    measures: ClassVar[tuple[str, str] | None] = ("entropy", "arXiv 2202.00666")

    typical_p: Annotated[float, Field(gt=0, le=1)]
    boundary: Boundary = "drop"

    @property
    def argmax_invariant(self) -> bool:
        return False

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact on a head that states its entropy, where the hidden tokens are too unlikely to be chosen.

        Raises:
            Undisclosed: the entropy is not known, or a hidden token could be chosen.
        """
        if self.typical_p == 1:
            return dist
        dist = near_zero(dist)
        log_z = dist.log_normalizer
        centre = log_z - dist.entropy  # a score of surprisal s is log_z - s
        if dist.tail is not None:
            return self._on_head(dist, log_z, centre)
        if dist.token_ids is not None:
            weights = np.exp(dist.scores - log_z)
            chosen, near = self._choose(np.abs(dist.scores - centre), weights, dist.scores)
            return dist.keep(chosen, ambiguous=near)
        reach = _REACH
        while True:
            ids, scores = dist.reaching(centre - reach)
            distances, weights = np.abs(scores - centre), np.exp(scores - log_z)
            within = distances < reach
            enough = weights[within].sum() > self.typical_p + AMBIGUITY and np.count_nonzero(within) > self.min_keep
            if enough or len(ids) == dist.support_size:
                chosen, near = self._choose(distances, weights, scores)
                return dist.keep(ids[chosen], ambiguous=near)
            reach *= 2

    def _on_head(self, dist: Distribution, log_z: float, centre: float) -> Distribution:
        """From the disclosed tokens that are certainly nearer to the entropy than every hidden one."""
        tail = dist.tail
        assert tail is not None and tail.max_logprob is not None and dist.token_ids is not None
        distances, weights = np.abs(dist.scores - centre), np.exp(dist.scores - log_z)
        nearer = distances < centre - (log_z + tail.max_logprob) - AMBIGUITY
        if weights[nearer].sum() <= self.typical_p + AMBIGUITY or np.count_nonzero(nearer) <= self.min_keep:
            raise Undisclosed(more(dist.row, dist.hidden), f"the typical tokens of {self.typical_p:.9g}")
        chosen, near = self._choose(distances[nearer], weights[nearer], dist.scores[nearer])
        return dist.keep(dist.token_ids[nearer][chosen], ambiguous=near)

    def _choose(
        self, distances: NDArray[np.float64], weights: NDArray[np.float64], scores: NDArray[np.float64]
    ) -> tuple[NDArray[np.bool_], bool]:
        """Which of these tokens stay, and whether that is ambiguous."""
        if len(distances) <= _FEW:
            chosen, mass_before, taken = np.zeros(len(distances), dtype=bool), 0.0, 0
            order = np.argsort(distances, kind="stable")
        else:
            chosen, nearest, mass_before, taken = _bins(distances, weights, self.typical_p, self.min_keep)
            order = nearest[np.argsort(distances[nearest], kind="stable")]
        mass = np.cumsum(weights[order])
        mass += mass_before
        count = int(np.searchsorted(mass, shifted(self.typical_p, self.boundary))) + 1
        count = min(max(count, self.min_keep - taken), len(order))
        near = is_near(mass, count - 1, self.typical_p)
        last = order[count - 1]
        if count < len(
            order
        ):  # a token at this distance on the other side would come first if the entropy were rounded differently
            following = order[count]
            near |= bool(distances[following] - distances[last] < AMBIGUITY and scores[following] != scores[last])
        chosen[_edge(order, count, distances, self.ties)] = True
        return chosen, near


def _bins(
    distances: NDArray[np.float64], weights: NDArray[np.float64], goal: float, min_keep: int
) -> tuple[NDArray[np.bool_], NDArray[np.intp], float, int]:
    """What is surely chosen, what has to be sorted, and the mass and number of what is surely chosen."""
    widest = float(distances.max()) or 1.0
    bins = (distances * ((_BINS - 1) / widest)).astype(np.int64)
    mass, number = np.cumsum(np.bincount(bins, weights)), np.cumsum(np.bincount(bins))
    crossing = max(int(np.searchsorted(mass, goal - AMBIGUITY)), int(np.searchsorted(number, min_keep)))
    crossing = min(crossing, _BINS - 1)
    sure = bins < crossing
    before = crossing - 1
    return (
        sure,
        np.flatnonzero((bins >= crossing) & (bins <= crossing + 1)),
        float(mass[before]) if crossing else 0.0,
        int(number[before]) if crossing else 0,
    )


def _edge(order: NDArray[np.intp], count: int, distances: NDArray[np.float64], ties: Ties) -> NDArray[np.intp]:
    """The first ``count`` of the order, its equals at the edge chosen by ``ties``."""
    if ties == "lowest":
        return order[:count]
    far = distances[order]
    first, end = np.searchsorted(far, far[count - 1], side="left"), np.searchsorted(far, far[count - 1], side="right")
    return order[:end] if ties == "all" else np.concatenate([order[:first], order[end - (count - first) : end]])
