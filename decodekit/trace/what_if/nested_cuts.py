"""A draw after truncations whose edges lie among tokens that were not recorded.

Such a truncation leaves the tokens from some score up. So what is left lies between a least set, of tokens that stay
wherever the edge is, and a largest one. The winner of a race among the largest set wins in every set that it is in:
if it is in the least one, it is proved.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from decodekit.chain.link import Link
from decodekit.chain.reshaped import reshape
from decodekit.distribution import AMBIGUITY, Distribution
from decodekit.draw.choice import Choice
from decodekit.draw.context import Context
from decodekit.draw.randomness import BoundRandomness
from decodekit.draw.samplers import greedy, multinomial
from decodekit.plugin import registry
from decodekit.trace.what_if.recorded_laws import heat_of, is_leading
from decodekit.types import Ids

__all__ = ["drawn_between", "first_cut"]


def first_cut(links: Sequence[Link]) -> int | None:
    """Where the truncations begin, if all that follows is truncations, temperatures and a race; None elsewhere."""
    if links[-1].call not in (multinomial, greedy):
        return None
    described = [registry.describe(link.call) for link in links[:-1]]
    start = next((at for at, part in enumerate(described) if is_leading(part)), None)
    if start is None or not all(is_leading(part) or heat_of(part) for part in described[start:]):
        return None
    return start


def drawn_between(links: Sequence[Link], head: Distribution, ctx: Context, noise: BoundRandomness) -> Choice | None:
    """The token that is drawn wherever the edges lie; None where that is not certain.

    Args:
        links: as `first_cut` found them, from there on.
        head: what is known before them, with hidden tokens.
        ctx, noise: of the step.

    Raises:
        Undisclosed: a token that was not recorded could win.
    """
    assert head.hidden is not None and head.token_ids is not None
    parts = [registry.describe(link.call) for link in links[:-1]]
    certain = (head.scores >= head.hidden.max_score) & (head.scores > -math.inf)
    if all(heat_of(part) or part["name"] == "min_p" for part in parts):
        certain = head.scores > -math.inf  # its edge depends on the most likely token alone
    if not certain.any() or head.scores[0] < head.hidden.max_score:
        return None
    shown = Distribution.listed(head.token_ids[certain], head.scores[certain], head.vocab_size, stage="processed")
    least = reshape(tuple(links), shown, ctx, (None,) * len(links), noise).final
    largest = head
    for link, part in zip(links, parts, strict=False):
        if heat_of(part):
            largest = link.call(largest, ctx)
        else:
            gone = _certainly_gone(part, largest)
            largest = largest.add(gone, np.full(len(gone), -math.inf))
    choice: Choice = links[-1].call(largest, ctx, noise)
    if least.ambiguous or choice.margin < AMBIGUITY or least.score(choice.token_id) == -math.inf:
        return None
    return choice


def _certainly_gone(part: Mapping[str, Any], largest: Distribution) -> Ids:
    """The recorded tokens that a truncation removes wherever its edge lies."""
    ids, scores, params = largest.token_ids, largest.scores, part["params"]
    assert ids is not None
    first = max(int(params.get("min_keep", 1)), 1)
    gone = np.zeros(len(ids), dtype=bool)
    if part["name"] == "top_k":
        gone[max(int(params["top_k"]), first) :] = True
    elif part["name"] == "min_p" and params["min_p"] > 0:
        gone = scores < scores[0] + math.log(params["min_p"]) - AMBIGUITY
    elif part["name"] == "top_p" and params["top_p"] < 1:
        shares = np.exp(scores - largest.bounds("log_normalizer").high)
        gone = np.cumsum(shares) - shares >= params["top_p"] + AMBIGUITY
    gone[:first] = False
    return ids[gone & (scores > -math.inf)]
