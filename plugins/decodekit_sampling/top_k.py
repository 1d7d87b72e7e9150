"""Top-k: the k most likely tokens."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from decodekit import Context, Disclosure, Distribution
from decodekit_sampling.truncation import Truncation, keep_first

__all__ = ["TopK"]


class TopK(Truncation):
    """Keep the k most likely tokens.

    Formula: keep the first k by falling s_i, then rising id
    Edges: Idempotent; a k as large as the support keeps all; with ``ties="all"`` more than k may stay.
    Source: Fan, Lewis and Dauphin 2018 (arXiv 1805.04833); exactly k, as llama.cpp's ``top_k``.
    Engines: all. llama.cpp, SGLang, exllamav3 and mlx-lm keep exactly k; transformers and vLLM also what is tied with
    the last (``ties="all"``). koboldcpp keeps 3,000 before every other cut.
    Example: top_k = 3
    """

    truncates: ClassVar[bool] = True

    top_k: Annotated[int, Field(ge=1, le=10_000_000)]

    @property
    def needs(self) -> Disclosure:
        count = max(self.top_k, self.min_keep)
        return Disclosure(count if self.ties == "lowest" else count + 1)  # one more shows whether it ties

    @property
    def leaves_one(self) -> bool:
        return self.top_k == 1 and self.min_keep == 1 and self.ties != "all"

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact on a head of at least k tokens; where ties are kept, it must show the token after them too."""
        return keep_first(dist, max(self.top_k, self.min_keep), self.ties)
