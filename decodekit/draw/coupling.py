"""How often two distributions give different tokens when both are drawn from with the same random numbers."""

from __future__ import annotations

import math

import numpy as np

from decodekit.distribution import Distribution
from decodekit.types import Floats

__all__ = ["chance_of_change"]


def chance_of_change(one: tuple[str, Distribution], other: tuple[str, Distribution]) -> float:
    """The probability, over all seeds, that two draws with one seed give different tokens.

    Of two Gumbel races, ``P(both draw i) = 1 / sum_j max(p_j / p_i, q_j / q_i)``, so that the probability of a change
    lies between the total variation ``t`` and ``2 t / (1 + t)`` (Daliri, Musco and Suresh 2024, arXiv 2408.07978). Of
    one uniform on two cumulative curves it is the overlap of the token's intervals, and the probability of a change
    may be 1. Different samplers use different random numbers.

    Args:
        one, other: a sampler of the core ('multinomial', 'inverse_cdf' or 'greedy'), and what it draws from, without
            undisclosed tokens.

    Raises:
        Undisclosed: there are some.
    """
    laws = [dist.top(1) if sampler == "greedy" else dist for sampler, dist in (one, other)]
    ids = np.union1d(*(law.support() for law in laws))
    p, q = (np.exp(law.logprobs_of(ids)) for law in laws)
    same = float((p * q).sum())
    if one[0] == other[0] != "greedy":
        same = _races(p, q) if one[0] == "multinomial" else _intervals(p, q)
    return min(1.0, max(0.0, 1.0 - same))


def _races(p: Floats, q: Floats) -> float:
    both = (p > 0) & (q > 0)
    ratio = np.where(p > 0, q / np.where(p > 0, p, 1.0), math.inf)
    order = np.argsort(ratio, kind="stable")
    p, q, both = p[order], q[order], both[order]
    # For token i, q_j / q_i is the larger one for the tokens of a larger ratio q_j / p_j, and p_j / p_i for the others.
    below, above = np.cumsum(p), q.sum() - np.cumsum(q)
    p, q, below, above = p[both], q[both], below[both], np.maximum(above[both], 0.0)
    return float((1.0 / (below / p + above / q)).sum())


def _intervals(p: Floats, q: Floats) -> float:
    p_edges, q_edges = (np.concatenate([[0.0], np.cumsum(each)]) for each in (p, q))
    overlap = np.minimum(p_edges[1:], q_edges[1:]) - np.maximum(p_edges[:-1], q_edges[:-1])
    return float(np.maximum(overlap, 0.0).sum())
