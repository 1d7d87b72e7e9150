"""Evidence: the part of a final distribution that proves the choice without the model.

After a truncation it is the whole support. For an untruncated draw it is a *floor* (a score), every token with at
least this score, and every other token whose noise would lift it from the floor to the runner-up. All other tokens
then provably score less than the runner-up. With a high floor, many tokens below it have enough noise; with a low
floor, many tokens are above it; the smallest evidence is between the two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from decodekit.distribution import Distribution
from decodekit.distribution.hidden import Hidden
from decodekit.draw.choice import Choice
from decodekit.draw.randomness import BoundRandomness, words_above
from decodekit.draw.samplers import greedy, multinomial
from decodekit.trace.by_value import ByValue
from decodekit.types import Floats, Ids

__all__ = ["Evidence", "gather"]

_WHOLE_SUPPORT = 128  # up to this size the whole support is kept; a floor would save nothing
_DEEPEST_FLOORS = (128, 512, 2048)  # the few leading tokens first: they almost always suffice


@dataclass(frozen=True, slots=True, eq=False)
class Evidence(ByValue):
    """The part of a final distribution that proves its draw.

    Args:
        token_ids: int64[n].
        scores: float64[n], exactly as the sampler used them, unnormalised, in nats; -inf for a removed token whose
            noise would lift it from the floor to the runner-up.
        floor: no token that is missing here has a higher score; None if no token is missing.
    """

    token_ids: Ids
    scores: Floats
    floor: float | None


def gather(dist: Distribution, choice: Choice, sampler: object, noise: BoundRandomness) -> Evidence:
    """The evidence for this choice; the whole support if a floor cannot make it smaller."""
    if dist.hidden is not None:
        assert dist.token_ids is not None
        return _of_head(dist, dist.hidden, choice, noise)
    if dist.token_ids is not None and len(dist.token_ids) <= _WHOLE_SUPPORT:
        return Evidence(dist.token_ids, dist.scores, None)
    if sampler is greedy and choice.runner_up is not None:
        ids = np.array([choice.token_id, choice.runner_up])
        scores = dist.scores_of(ids)
        return Evidence(ids, scores, float(scores[1]))
    if sampler is not multinomial or dist.vocab_size is None or choice.margin == math.inf:
        ids = dist.support()
        return Evidence(ids, dist.scores_of(ids), None)
    return _with_floor(dist, choice, noise)


def _of_head(dist: Distribution, hidden: Hidden, choice: Choice, noise: BoundRandomness) -> Evidence:
    """What is disclosed; and, as removed, the tokens that a mask forbids and whose noise would lift them too far."""
    ids, scores, floor = dist.token_ids, dist.scores, hidden.max_score
    assert ids is not None
    if hidden.allowed is None or dist.vocab_size is None or choice.draw is None:
        return Evidence(ids, scores, floor)
    second = choice.score - choice.margin
    lifted = words_above(noise.all_words(dist.vocab_size), second - (floor - dist.row.max_score)) & ~hidden.allowed
    lifted[ids] = False
    removed = lifted.nonzero()[0]
    return Evidence(np.concatenate([ids, removed]), np.concatenate([scores, np.full(len(removed), -math.inf)]), floor)


def _with_floor(dist: Distribution, choice: Choice, noise: BoundRandomness) -> Evidence:
    assert dist.vocab_size is not None
    second = choice.score - choice.margin
    for deepest in _DEEPEST_FLOORS:
        ids, scores = dist.row.first(deepest)
        shifted = scores - dist.row.max_score
        # A Gumbel number exceeds x with probability near exp(-x). So this is the expected number of tokens to list,
        # because of their score or of their noise, for each candidate floor.
        listed = np.arange(1, len(ids) + 1) + dist.vocab_size * np.exp(np.minimum(shifted - second, 0.0))
        cut = int(np.argmin(listed))
        if listed[cut] <= deepest:  # a deeper floor would list more than ``deepest`` because of their score alone
            break
    floor = float(scores[cut])
    words = noise.all_words(dist.vocab_size)
    lifted = words_above(words, second - (floor - dist.row.max_score))
    lifted[ids[: cut + 1]] = True
    kept = lifted.nonzero()[0]
    return Evidence(kept, dist.scores_of(kept), floor)
