"""The laws of the truncations once more, written down directly: float64, a full sort, no cleverness.

Each takes logits float[V] without ties and its parameter, and answers with the ids that stay and with margins
float64[V]: how far each token's decision is from its boundary, in the units of the sum or limit that decides.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Answer", "probabilities"]

Floats = NDArray[np.float64]
Answer = tuple[set[int], Floats]


def probabilities(logits: ArrayLike) -> Floats:
    shifted = np.asarray(logits, dtype=np.float64) - np.max(logits)
    weights = np.exp(shifted)
    return weights / weights.sum()


def entropy(p: Floats) -> float:
    return float(-(p[p > 0] * np.log(p[p > 0])).sum())


def falling(logits: ArrayLike) -> NDArray[np.int64]:
    return np.argsort(-np.asarray(logits, dtype=np.float64), kind="stable")


def _by_limit(values: Floats, limit: float) -> Answer:
    """Values at or above the limit stay."""
    return set(np.flatnonzero(values >= limit).tolist()), np.abs(values - limit)


def _by_sum(order: NDArray[np.int64], share: Floats, limit: float) -> Answer:
    """A token stays while the sum of the shares before it is below the limit."""
    before = np.empty(len(order))
    before[order] = np.concatenate([[0.0], np.cumsum(share[order])[:-1]])
    return set(np.flatnonzero(before < limit).tolist()), np.abs(before - limit)


def top_k(logits: Floats, k: int) -> Answer:
    return set(falling(logits)[:k].tolist()), np.ones(len(logits))


def top_p(logits: Floats, p: float) -> Answer:
    return _by_sum(falling(logits), probabilities(logits), p)


def min_p(logits: Floats, factor: float) -> Answer:
    return _by_limit(np.asarray(logits, np.float64), float(np.max(logits)) + math.log(factor))


def typical_p(logits: Floats, p: float) -> Answer:
    probs = probabilities(logits)
    distance = np.abs(-np.log(probs) - entropy(probs))
    order = np.argsort(distance, kind="stable")
    kept, margins = _by_sum(order, probs, p)
    edge = distance[order[len(kept) - 1]]
    return kept, np.minimum(margins, np.abs(distance - edge))  # in the sum, or in the order


def top_n_sigma(logits: Floats, n: float) -> Answer:
    exact = np.asarray(logits, np.float64)
    return _by_limit(exact, float(exact.max() - n * exact.std()))


def epsilon_cutoff(logits: Floats, least: float) -> Answer:
    kept, margins = _by_limit(np.log(probabilities(logits)), math.log(least))
    return kept or {int(np.argmax(logits))}, margins


def eta_cutoff(logits: Floats, eta: float) -> Answer:
    return epsilon_cutoff(logits, min(eta, math.sqrt(eta) * math.exp(-entropy(probabilities(logits)))))


def top_h(logits: Floats, share: float) -> Answer:
    order = falling(logits)[:100]
    probs = probabilities(np.asarray(logits, np.float64)[order])
    used = np.cumsum(-probs * np.log(probs))
    margins = np.ones(len(logits))
    margins[order] = np.abs(used - share * used[-1])
    return set(order[used <= share * used[-1]].tolist()) | {int(order[0])}, margins
