"""Unigram: one part of the vocabulary gets a bias, always the same."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from decodekit import ALL, Context, Detection, Disclosure, Distribution
from decodekit.plugin.traits import Kind
from decodekit_watermark.contexts import Ids, as_ids
from decodekit_watermark.hashes import philox_uniforms
from decodekit_watermark.keys import Keyed
from decodekit_watermark.tails import log_binomial_tail

__all__ = ["Unigram"]


class Unigram(Keyed):
    """Add a bias to one part of the vocabulary, which the key alone selects.

    It changes the distribution, always in favour of the same words, and survives edits better than marks that depend on
    the tokens before. From many texts the words can be found without the key.

    Args:
        unigram: the bias in nats (delta).
        gamma: the share of the vocabulary that is green.

    Formula: s_i + unigram * [u_i < gamma], u_i = hash(key, i)
    Edges: a token with probability 0 keeps it.
    Source: Zhao et al. 2023 (arXiv 2306.17439).
    Engines: the authors' code, which shuffles the vocabulary with NumPy and a hash of the key of 32 bits; here the
    numbers are those of vLLM's Philox without a context, so the green words of the same key are others.
    Example: unigram = 2.0, gamma = 0.5, key = "public"

    Raises:
        ParameterError: the key is missing, or none.
    """

    mark: ClassVar[str] = "unigram"
    kind: ClassVar[Kind] = "reshaping"
    random: ClassVar[bool] = False
    needs: ClassVar[Disclosure] = ALL

    unigram: Annotated[float, Field(gt=0, le=100)]
    gamma: Annotated[float, Field(gt=0, lt=1)] = 0.5

    @property
    def width(self) -> int:
        return 0

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """`Undisclosed` on a head: which hidden tokens are green is known, but not their scores."""
        dist.require_complete("a bias on a part of the whole vocabulary")
        alive = dist.support()
        chosen = alive[self._green(alive)]
        return dist.add(chosen, self.unigram) if len(chosen) else dist

    def _green(self, ids: Ids) -> NDArray[np.bool_]:
        (key,) = self.secret
        return philox_uniforms(key, np.empty((1, 0), dtype=np.int64), ids) < np.float32(self.gamma)

    def detect(self, ids: Iterable[int]) -> Detection:
        """Count the green tokens of a text.

        Args:
            ids: the tokens of the text.

        Returns:
            How many different tokens it has, and how many of them are green: binomial in a text without the mark.
        """
        different = np.unique(as_ids(ids))
        green = int(np.count_nonzero(self._green(different)))
        return Detection(len(different), float(green), log_binomial_tail(green, len(different), self.gamma))
