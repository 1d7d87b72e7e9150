"""Tail-free sampling: cut where the curve of the sorted probabilities becomes flat."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from decodekit import Context, Distribution, Undisclosed
from decodekit.distribution.heads import more
from decodekit_sampling.truncation import ROUNDING, Truncation, is_near, keep_first

__all__ = ["Tfs"]

_WINDOW = 256


class Tfs(Truncation):
    """Keep the tokens before the point where the curve of the sorted probabilities becomes flat.

    The curvature at a token is the absolute second difference of the probabilities around it. A token stays while the
    curvatures up to its own sum to at most the share ``tfs`` of their total.

    Formula: by falling p, keep i with d_2 + ... + d_i <= tfs * sum(d), where d_i = |p_{i-1} - 2 p_i + p_{i+1}|
    Edges: the first token always stays, the last never does; 1 keeps all, and so do fewer than three tokens and a flat
    distribution, which have no tail; masked tokens count only with ``cut_tokens="zeros"``.
    Source: Bricken 2020, https://www.trentonbricken.com/Tail-Free-Sampling/
    Engines: text-generation-webui, where tokens cut by earlier stages count with probability 0; aphrodite, exllamav2
    and koboldcpp; llama.cpp had it. koboldcpp, as llama.cpp did, assigns the difference d_i to the token before, so it
    cuts one token earlier, and where all differences sum to 1e-6 or less it counts them as equal (``law="koboldcpp"``).
    It never cuts at the first difference, and keeps all tokens where no later one exceeds the share: of three tokens it
    keeps all.
    Example: tfs = 0.9
    """

    tfs: Annotated[float, Field(ge=0, le=1)]
    law: Literal["original", "koboldcpp"] = "original"
    cut_tokens: Annotated[
        Literal["ignored", "zeros"],
        Field(description="tokens cut earlier in the chain: ignored, or counted at the end with probability 0"),
    ] = "ignored"

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact where the shown part proves the cut: the height of the hidden part bounds its curvature."""
        if self.tfs == 1:
            return dist
        window = _WINDOW
        while True:
            scores = dist.ranked(window)[1]
            complete = dist.tail is None and (len(scores) < window or len(scores) == dist.support_size)
            weights = np.exp(scores - dist.max_score)
            if complete and self.cut_tokens == "zeros":  # from the second zero on every difference is 0
                weights = np.pad(weights, (0, min(2, (dist.vocab_size or len(scores)) - len(scores))))
            if complete and len(weights) < 3:
                return dist
            cut = self._cut(weights, complete, dist)
            if cut is not None:
                return keep_first(dist, max(cut[0], self.min_keep), self.ties, ambiguous=cut[1])
            if dist.tail is not None and len(scores) < window:
                raise Undisclosed(more(dist.row, dist.hidden), "where the tail begins")
            window *= 8

    def _cut(self, weights: NDArray[np.float64], complete: bool, dist: Distribution) -> tuple[int, bool] | None:
        """How many tokens stay, and whether that is ambiguous; None where the hidden tokens could move it."""
        if len(weights) < 3:
            return None
        steps = weights[:-1] - weights[1:]
        used = np.cumsum(np.abs(steps[:-1] - steps[1:]))
        total = float(used[-1])
        # The hidden rest is a falling sequence: its differences sum to at most its first step and twice its height.
        rest = 0.0 if complete else float(weights[-2] + weights[-1])
        if self.law == "koboldcpp":
            unit = math.exp(dist.logprob(dist.mode))
            if (total + rest) * unit <= 1e-6:
                if not complete:
                    return None
                used, total = np.arange(1.0, len(used) + 1), float(len(used))
            elif total * unit <= 1e-6:
                return None
        elif total == 0:
            return (len(weights), False) if complete else None
        least, most = (
            int(np.searchsorted(used, self.tfs * part * (1 + ROUNDING), side="right")) for part in (total, total + rest)
        )
        if not complete and (least != most or most == len(used)):
            return None
        near = is_near(used / total, least, self.tfs)
        if self.law == "original":
            return least + 1, near
        cut = max(least, self.min_keep)
        if cut < len(used):
            return cut, near
        return (len(weights), near) if complete else None
