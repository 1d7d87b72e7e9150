"""XTC: exclude top choices. By a coin, by the exact expectation of the coin, or by llama.cpp's own coin."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from decodekit import Choice, Context, Distribution, ParameterError, Plugin
from decodekit_sampling.mt19937 import Seed, uniform_float
from decodekit_sampling.token_ids import TokenIds

__all__ = ["XTC", "LlamaCppXTC", "XTCExpected"]

_Probability = Annotated[float, Field(ge=0, le=1)]


class _TopChoices(Plugin):
    """The tokens at or above the threshold, all but the least likely of them: what XTC excludes.

    Nothing is excluded where fewer than two tokens reach the threshold, or where fewer than ``min_keep`` would be left.
    Among equals at the lower end the highest id stays.
    """

    threshold: Annotated[float, Field(gt=0, le=1)] = 0.1
    min_keep: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    protected: TokenIds = ()

    def _excluded(self, dist: Distribution) -> tuple[NDArray[np.int64], bool]:
        """Their ids, and whether the decision was ambiguous."""
        above = dist.threshold(dist.log_normalizer + math.log(self.threshold))
        ids = above.order[:-1]
        # min_keep=1 is always met, and needs no look at a tail.
        if self.min_keep > 1 and dist.support_size - len(ids) < self.min_keep:
            ids = ids[:0]
        return ids[~np.isin(ids, self.protected)], above.ambiguous

    def _apply(self, dist: Distribution) -> Distribution:
        ids, ambiguous = self._excluded(dist)
        after = dist.add(ids, -math.inf)
        return after.marked_ambiguous() if ambiguous else after

    def _expect(self, dist: Distribution, probability: float) -> Distribution:
        """``(1 - q) p + q p [not excluded] / (1 - X)``, with X the mass of the excluded, by scaling those alone."""
        ids, ambiguous = self._excluded(dist)
        after = dist
        if len(ids) and probability:
            excluded = float(np.exp(dist.logprobs_of(ids)).sum())
            left = max(1 - excluded, self.threshold)  # the least likely above the threshold stays
            kept = -math.inf if probability == 1 else math.log1p(-probability)
            after = dist.add(ids, kept - math.log1p(probability * excluded / left))
        return after.marked_ambiguous() if ambiguous else after


class XTC(_TopChoices):
    """With this probability, exclude the top choices: every token at or above the threshold but the least likely.

    The coin is ``ctx.rng``'s first lane, one toss for each token; `marginal` is the law with the coin averaged out.

    Args:
        xtc: the probability of the coin.
        threshold: the probability from which a token counts as a choice.
        min_keep: exclude nothing where fewer than this would be left.
        protected: ids that are never excluded (newline, end of text). They still count as choices.

    Formula: with probability xtc, -inf for every i with p_i >= threshold but the least likely of them
    Edges: fewer than two choices, and so every threshold above 0.5, change nothing; among equals at the lower end the
    highest id stays.
    Source: oobabooga/text-generation-webui pull request 6335; llama.cpp ``llama_sampler_init_xtc``.
    Engines: llama.cpp, koboldcpp, text-generation-webui, mlx-lm and aphrodite toss, exllamav2 and exllamav3 have
    `xtc_expected`. mlx-lm wants more than the threshold; text-generation-webui excludes nothing where a newline or the
    end of text would go, mlx-lm protects such tokens, llama.cpp none; koboldcpp subtracts 999. aphrodite's coin is no
    part of the request's seed.
    Example: xtc = 1.0
    """

    xtc: _Probability

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact on a head whose last token is below the threshold, or when the coin says no."""
        if ctx.rng is None:
            raise ParameterError("xtc tosses a coin; give the context an rng, as Randomness(seed).at(step)")
        return self._apply(dist) if ctx.rng.uniform([0])[0] < self.xtc else dist

    def marginal(self, dist: Distribution, ctx: Context) -> Distribution:
        """The exact distribution over both sides of the coin."""
        return self._expect(dist, self.xtc)


class XTCExpected(_TopChoices):
    """XTC without its coin: the exact mixture of excluding and not excluding, drawn from at every step.

    One token has the same law as under `xtc`.

    Args:
        xtc_expected: the probability q of the coin.
        threshold, min_keep, protected: as for `xtc`.

    Formula: (1 - q) * p_i + q * [i not excluded] * p_i / (1 - X), with X the mass of the excluded
    Edges: those of `xtc`.
    Source: exllamav3, whose XTC has this form.
    Engines: exllamav3 and exllamav2; the others toss.
    Example: xtc_expected = 0.5
    """

    xtc_expected: _Probability

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact on a head whose last token is below the threshold; `Undisclosed` otherwise."""
        return self._expect(dist, self.xtc_expected) if self.xtc_expected else dist


class LlamaCppXTC(_TopChoices):
    """XTC with the coin of llama.cpp, bit by bit: one word of ``std::mt19937`` for each token with a choice to make.

    The state is the generator's position. The toss follows from the recorded seed and the step, so it is not listed
    with the tosses of ``ctx.rng``.

    Args:
        llamacpp_xtc: the probability of the coin.
        seed: the seed given to llama.cpp.
        threshold, min_keep, protected: as for `xtc`; llama.cpp protects nothing.

    Formula: unless u > llamacpp_xtc, with u the float32 uniform, -inf for what XTC excludes
    Edges: a lone candidate, a probability of 0 or a threshold above 0.5 costs no word.
    Source: llama.cpp ``llama_sampler_init_xtc``.
    Engines: llama.cpp built with libstdc++, as on Linux; other standard libraries make other uniforms of the same
    words.
    Example: llamacpp_xtc = 1.0, seed = 7
    """

    looks_back: ClassVar[bool] = True

    llamacpp_xtc: _Probability
    seed: Seed

    def initial(self, ctx: Context) -> int:
        """One word for each token so far."""
        return ctx.step

    def __call__(self, dist: Distribution, ctx: Context, state: int) -> Distribution:
        """Exact on a head whose last token is below the threshold, or when the coin says no."""
        if not self._tosses(dist) or uniform_float(self.seed, state) > np.float32(self.llamacpp_xtc):
            return dist
        return self._apply(dist)

    def advance(self, state: int, choice: Choice, ctx: Context, before: Distribution) -> int:
        return state + 1 if self._tosses(before) else state

    def marginal(self, dist: Distribution, ctx: Context) -> Distribution:
        """The exact distribution over both sides of the coin."""
        return self._expect(dist, self.llamacpp_xtc if self._tosses(dist) else 0.0)

    def _tosses(self, dist: Distribution) -> bool:
        several = dist.tail is not None or dist.support_size > 1
        return several and self.llamacpp_xtc > 0 and self.threshold <= 0.5
