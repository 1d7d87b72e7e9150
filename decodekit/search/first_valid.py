"""AWRS: a draw from a masked law and an unbiased weight, from a few checks in the order of the race."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

__all__ = ["FirstValid", "first_valid"]

_NEGLIGIBLE = 1e-12  # a probability; what is left of 1 after many subtractions is not known better than that


class FirstValid(NamedTuple):
    """The outcome of one race.

    Args:
        token_id: the first valid token; None where none was found.
        weight: an unbiased estimate of the probability of all valid tokens.
        unchecked: the probability that is left where the search was given up; 0.0 otherwise.
    """

    token_id: int | None
    weight: float
    unchecked: float = 0.0


def first_valid(
    race: Iterable[int], probability: Callable[[int], float], is_valid: Callable[[int], bool], most: int
) -> FirstValid:
    """The first valid token of a race, and its weight.

    With R the probability of all tokens but those refused before, x the first valid token and y the one that follows it
    in the race: the weight is R if y is valid too, or if there is none; else p(x). Its mean is the probability Z of all
    valid tokens, whatever x and the refused tokens are: y is valid with probability (Z - p(x)) / (R - p(x)), and
    R (Z - p(x)) + p(x) (R - Z) = Z (R - p(x)). And x is a draw from the law on the valid tokens. So
    ``E[weight * f(x)]`` is the sum of p(x) f(x) over them.

    Source: adaptive weighted rejection sampling (Lipkin et al. 2025, arXiv 2504.05410), the recursive form.

    Args:
        race: the tokens by falling perturbed score; see `race_order`.
        probability: of a token.
        is_valid: asked for each token of the race up to the first valid one, and for one more.
        most: give up after this many tokens that are not valid.
    """
    refused = [1.0]
    tokens = iter(race)
    for token_id in tokens:
        rest, p = math.fsum(refused), probability(token_id)
        if is_valid(token_id):
            follower = next(tokens, None) if rest - p > _NEGLIGIBLE else None
            return FirstValid(token_id, rest if follower is None or is_valid(follower) else p)
        refused.append(-p)
        rest = math.fsum(refused)
        if rest <= _NEGLIGIBLE:
            break
        if len(refused) > most:
            return FirstValid(None, 0.0, rest)
    return FirstValid(None, 0.0)
