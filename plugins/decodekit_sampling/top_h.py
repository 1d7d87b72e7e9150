"""Top-h: the leading tokens that together have a share of the entropy."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from decodekit import Context, Disclosure, Distribution
from decodekit_sampling.truncation import ROUNDING, Truncation, is_near, keep_first

__all__ = ["TopH"]


class TopH(Truncation):
    """Keep the most likely tokens as long as they have at most a share top_h of the entropy.

    Only the ``candidates`` most likely tokens take part; their probabilities are renormalised, and so is the entropy H.

    Formula: by falling p_i, keep the most tokens with sum(-p_i * log(p_i)) <= top_h * H
    Edges: the most likely token always stays; 1 keeps all candidates.
    Source: transformers' ``TopHLogitsWarper``, after Potraghloo et al. 2025 (arXiv 2509.02510).
    Engines: transformers, with 100 candidates. Its documentation, and the paper, speak of the entropy of the
    renormalised prefix instead; its code has the formula written here.
    Example: top_h = 0.6
    """

    measures: ClassVar[tuple[str, str] | None] = ("entropy", "arXiv 2509.02510")

    top_h: Annotated[float, Field(gt=0, le=1)]
    candidates: Annotated[int, Field(ge=1, le=1_000_000)] = 100

    @property
    def needs(self) -> Disclosure:
        return Disclosure(self.candidates)

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact on a head of at least ``candidates`` tokens."""
        window = dist.top(self.candidates)
        if self.top_h == 1:
            return window
        logprobs = window.leading(self.candidates)[1]
        used = np.cumsum(-np.exp(logprobs) * logprobs)
        budget = self.top_h * float(used[-1])
        count = max(1, int(np.searchsorted(used, budget * (1 + ROUNDING), side="right")))
        return keep_first(window, max(count, self.min_keep), self.ties, ambiguous=is_near(used, count, budget))
