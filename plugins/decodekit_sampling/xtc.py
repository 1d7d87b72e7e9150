"""XTC: exclude top choices. At random, by the exact expectation, or by llama.cpp's random numbers."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from decodekit import Choice, Context, Distribution, ParameterError, Plugin
from decodekit.plugin.traits import Kind
from decodekit_sampling.history import TokenIdTuple, within
from decodekit_sampling.mt19937 import Seed, uniform_float
from decodekit_sampling.truncation import ROUNDING, near_zero

__all__ = ["XTC", "LlamaCppXTC", "XTCExpected"]

_Probability = Annotated[float, Field(ge=0, le=1)]
_Least = Annotated[
    Literal["one", "equals"],
    Field(description="of choices equal to the least likely one: only the highest id stays, or all of them"),
]


class _TopChoices(Plugin):
    """The tokens at or above the threshold, all but the least likely of them: what XTC excludes.

    Nothing is excluded where fewer than two tokens reach the threshold, or where fewer than ``min_keep`` would be left.
    """

    kind: ClassVar[Kind] = "truncation"

    threshold: Annotated[float, Field(ge=0, le=1)] = 0.1
    above: Annotated[bool, Field(description="a choice must have more than the threshold; equal is not enough")] = False
    least: _Least = "one"
    min_keep: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    protected: TokenIdTuple = ()
    counted: Annotated[bool, Field(description="whether a protected token counts as a choice")] = True

    def _excluded(self, dist: Distribution) -> tuple[NDArray[np.int64], bool]:
        """Their ids, and whether the decision was ambiguous."""
        within(dist, self.protected, "protected")
        choices, limit = dist, -math.inf
        if self.threshold > 0:
            limit = dist.log_normalizer + math.log(self.threshold)
            choices = dist.threshold(limit - ROUNDING)
        ids = choices.order
        if self.above:
            ids = ids[choices.scores_of(ids) > limit + ROUNDING]
        if not self.counted:
            ids = ids[~np.isin(ids, self.protected)]
        if self.least == "equals" and len(ids):
            scores = choices.scores_of(ids)
            ids = ids[scores > scores[-1]]
        else:
            ids = ids[:-1]
        # min_keep=1 is always met, and needs no look at a tail.
        if self.min_keep > 1 and dist.support_size - len(ids) < self.min_keep:
            ids = ids[:0]
        return ids[~np.isin(ids, self.protected)], choices.ambiguous

    def _apply(self, dist: Distribution, penalty: float = math.inf) -> Distribution:
        ids, ambiguous = self._excluded(near_zero(dist))
        after = dist.add(ids, -penalty)
        return after.marked_ambiguous() if ambiguous else after

    def _expect(self, dist: Distribution, probability: float, penalty: float = math.inf) -> Distribution:
        """``(1 - q) p + q p'``, where p' has the excluded penalised, by scaling those alone."""
        dist = near_zero(dist)
        ids, ambiguous = self._excluded(dist)
        after = dist
        if len(ids) and probability:
            logprobs = dist.logprobs
            shown = dist.token_ids if dist.token_ids is not None else np.arange(len(logprobs))
            out = np.isin(shown, ids)
            excluded = float(np.exp(logprobs[out]).sum())
            # Where all of it is shown, the kept mass is summed: a small rest computed as 1 minus the excluded would be
            # imprecise.
            left = float(np.exp(logprobs[~out]).sum()) if dist.tail is None else 1 - excluded
            mass = left + math.exp(-penalty) * excluded  # of p', before it is normalised
            coin = (math.log1p(-probability) if probability < 1 else -math.inf) + math.log(mass)
            toss = math.log(probability)
            scale = np.logaddexp(coin, toss - penalty) - np.logaddexp(coin, toss)
            after = dist.add(ids, float(scale))
        return after.marked_ambiguous() if ambiguous else after


class XTC(_TopChoices):
    """With this probability, exclude the top choices: every token at or above the threshold but the least likely.

    The random number is the first lane of ``ctx.rng``, one for each token; `marginal` is the exact expectation over it.

    Args:
        xtc: the probability of excluding.
        threshold: the probability from which a token counts as a choice.
        min_keep: exclude nothing where fewer than this would be left.
        protected: ids that are never excluded (newline, end of text).
        penalty: what is subtracted from an excluded token, in nats; None bans it.

    Formula: with probability xtc, -inf for every i with p_i >= threshold but the least likely of them
    Edges: fewer than two choices, and so every threshold above 0.5, change nothing; at a threshold of 0 every token
    with probability is a choice, and only the least likely stays.
    Source: oobabooga/text-generation-webui pull request 6335; llama.cpp ``llama_sampler_init_xtc``.
    Engines: llama.cpp, koboldcpp, text-generation-webui, mlx-lm and aphrodite draw at random, exllamav2 and exllamav3
    have `xtc_expected`. mlx-lm asks for more than the threshold (``above``) and keeps all equals of the least likely
    choice (``least="equals"``); text-generation-webui excludes nothing where a newline or the end of text would go,
    mlx-lm protects such tokens, llama.cpp none; koboldcpp subtracts 999, so that its adaptive-p can still choose the
    excluded tokens. aphrodite's random number does not depend on the request's seed.
    Example: xtc = 1.0
    """

    xtc: _Probability
    penalty: Annotated[float, Field(gt=0, le=10_000)] | None = None

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact on a head whose last token is below the threshold, or when the random number excludes nothing."""
        if ctx.rng is None:
            raise ParameterError(
                "xtc draws a random number; give the context an rng, such as Randomness(seed).at(step)"
            )
        return self._apply(dist, self._off) if ctx.rng.uniform([0])[0] < self.xtc else dist

    def marginal(self, dist: Distribution, ctx: Context) -> Distribution:
        """The exact expectation over the random number."""
        return self._expect(dist, self.xtc, self._off)

    @property
    def _off(self) -> float:
        return math.inf if self.penalty is None else self.penalty


class XTCExpected(_TopChoices):
    """XTC without a random number: every step uses the exact mixture of excluding and not excluding.

    A single token has the same distribution as under `xtc`.

    Args:
        xtc_expected: the probability q of excluding.
        threshold, above, least, min_keep, protected: as for `xtc`.
        counted: whether a protected token counts as a choice; in exllamav3 it does not.

    Formula: (1 - q) * p_i + q * [i not excluded] * p_i / (1 - X), with X the mass of the excluded
    Edges: those of `xtc`.
    Source: exllamav3, whose XTC has this form.
    Engines: exllamav3 and exllamav2; the others draw at random.
    Example: xtc_expected = 0.5
    """

    xtc_expected: _Probability
    counted: Annotated[bool, Field(description="whether a protected token counts as a choice")] = False

    def __call__(self, dist: Distribution, ctx: Context) -> Distribution:
        """Exact on a head whose last token is below the threshold; `Undisclosed` otherwise."""
        return self._expect(dist, self.xtc_expected) if self.xtc_expected else dist


class LlamaCppXTC(_TopChoices):
    """XTC with llama.cpp's random numbers, bit for bit: one word of ``std::mt19937`` for each token that needs one.

    The state is the generator's position. The random number follows from the recorded seed and the step, so it is not
    listed with those of ``ctx.rng``.

    Args:
        llamacpp_xtc: the probability of excluding.
        seed: the seed given to llama.cpp.
        threshold, above, least, min_keep, protected: as for `xtc`; llama.cpp protects nothing.

    Formula: unless u > llamacpp_xtc, with u the float32 uniform, -inf for what XTC excludes
    Edges: a single candidate, a probability of 0 or a threshold above 0.5 uses no word.
    Source: llama.cpp ``llama_sampler_init_xtc``.
    Engines: llama.cpp built with libstdc++, as on Linux; other standard libraries derive different numbers from the
    same words.
    Example: llamacpp_xtc = 1.0, seed = 7
    """

    looks_back: ClassVar[bool] = True

    llamacpp_xtc: _Probability
    seed: Seed

    def initial(self, ctx: Context) -> int:
        """One word for each token so far."""
        return ctx.step

    def __call__(self, dist: Distribution, ctx: Context, state: int) -> Distribution:
        """Exact on a head whose last token is below the threshold, or when the random number excludes nothing."""
        if not self._tosses(dist) or uniform_float(self.seed, state) > np.float32(self.llamacpp_xtc):
            return dist
        return self._apply(dist)

    def advance(self, state: int, choice: Choice, ctx: Context, before: Distribution) -> int:
        return state + 1 if self._tosses(before) else state

    def marginal(self, dist: Distribution, ctx: Context) -> Distribution:
        """The exact expectation over the random number."""
        return self._expect(dist, self.llamacpp_xtc if self._tosses(dist) else 0.0)

    def _tosses(self, dist: Distribution) -> bool:
        several = dist.tail is not None or dist.support_size > 1
        return several and self.llamacpp_xtc > 0 and self.threshold <= 0.5
