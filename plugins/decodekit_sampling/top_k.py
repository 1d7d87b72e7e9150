"""Top-k: so many of the most likely tokens."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from decodekit import Context, Disclosure, Distribution
from decodekit_sampling.truncation import Truncation, keep_first

__all__ = ["TopK"]


class TopK(Truncation):
    """Keep the k most likely tokens.

    Idempotent. By default exactly k stay, the lowest ids among equals, as in llama.cpp; transformers and vLLM keep
    everything that ties with the k-th (``ties="all"``).
    Source: Fan, Lewis and Dauphin 2018 (arXiv 1805.04833).
    """

    top_k: Annotated[int, Field(ge=1, le=10_000_000)]

    @property
    def needs(self) -> Disclosure:
        count = max(self.top_k, self.min_keep)
        return Disclosure(count if self.ties == "lowest" else count + 1)  # one more shows whether it ties

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact on a head of at least k tokens, whose edge must be shown where ties are kept."""
        return keep_first(dist, max(self.top_k, self.min_keep), self.ties)
