"""Mirostat: keep the surprisal of the text near a target, by a truncation limit that moves with every token.

Both versions are stateful processors: they truncate, the sampler of the chain draws, and the drawn token moves the
limit. So the final distribution in the record is the one that was drawn from.
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from decodekit import ALL, Choice, Context, Disclosure, Distribution, DistributionError, Plugin, Undisclosed
from decodekit.plugin.traits import Kind
from decodekit_sampling.truncation import near_zero

__all__ = ["Mirostat", "MirostatV2"]

_BIT = math.log(2)
_Surprise = Annotated[float, Field(gt=0, le=100)]


class _Mirostat(Plugin):
    kind: ClassVar[Kind] = "truncation"
    measures: ClassVar[tuple[str, str] | None] = ("surprise", "arXiv 2007.14966")
    argmax_invariant: ClassVar[bool] = True
    looks_back: ClassVar[bool] = True

    eta: Annotated[float, Field(gt=0, le=1)] = 0.1
    surprise: Literal["kept", "whole"] = "kept"

    @property
    def _target(self) -> float:
        raise NotImplementedError

    def initial(self, ctx: Context) -> float:
        """The limit mu, in bits: twice the target."""
        return 2 * self._target

    def advance(self, state: float, choice: Choice, ctx: Context, before: Distribution) -> float:
        """Move the limit against the error of the surprisal."""
        logprob = choice.logprob if self.surprise == "kept" else before.logprob(choice.token_id)
        if logprob is None:
            raise DistributionError("the log-probability of the chosen token is not known, and mirostat learns from it")
        if logprob == -math.inf:
            return state  # a replay forced a token that is impossible here: nothing to learn
        return state - self.eta * (-logprob / _BIT - self._target)


class MirostatV2(_Mirostat):
    """Keep the surprisal of the text near a target, by dropping the tokens whose surprisal is above a limit.

    The limit mu starts at twice the target, in bits, and moves with every token chosen.

    Args:
        mirostat_v2: the target surprisal in bits (tau).
        eta: the learning rate.
        surprise: which surprisal of the chosen token counts: 'kept' after all truncations, renormalised, or 'whole' in
            the distribution before this processor.

    Formula: keep i where -log2(p_i) <= mu; once x is chosen, mu -= eta * (-log2(p_x) - mirostat_v2)
    Edges: at least one token stays.
    Source: Basu et al. 2020 (arXiv 2007.14966); llama.cpp ``llama_sampler_init_mirostat_v2``.
    Engines: llama.cpp, koboldcpp, exllamav2, text-generation-webui and aphrodite. llama.cpp allows only a temperature
    before it, silently drops its other samplers, and keeps mu in float32; to reproduce its draws bit for bit, use the
    sampler ``llamacpp_dist(law="discrete")``. aphrodite, and the paper's own code, use the 'whole' surprisal. In
    koboldcpp mu passes from one request to the next.
    Example: mirostat_v2 = 1.5
    """

    mirostat_v2: _Surprise

    @property
    def _target(self) -> float:
        return self.mirostat_v2

    def __call__(self, dist: Distribution, ctx: Context, state: float) -> Distribution:
        """Exact on a head whose last token is beyond the limit; `Undisclosed` otherwise."""
        dist = near_zero(dist)
        return dist.threshold(dist.log_normalizer - state * _BIT)


class Mirostat(_Mirostat):
    """Keep the surprisal of the text near a target, by keeping the k most likely tokens; Zipf's law gives k.

    The slope z of Zipf's law is estimated from the ``m`` most likely tokens, as ``sum(t b) / sum(t t)`` with ``t_i =
    log((i + 2) / (i + 1))`` and ``b_i = log(p_i / p_{i+1})`` over neighbouring ranks. V is the size of the vocabulary.
    The limit mu moves as in `mirostat_v2`.

    Args:
        mirostat: the target surprisal in bits (tau).
        eta: the learning rate.
        surprise: as for `mirostat_v2`.
        m: how many of the most likely tokens the slope is estimated from.

    Formula: keep the k largest p_i, k = ((z - 1) * 2 ** mu / (1 - V ** (1 - z))) ** (1 / z), rounded down
    Edges: at least one token stays; at z = 1 and z = 0 the mathematical limit is used; there the formula in float32
    gives NaN.
    Source: Basu et al. 2020 (arXiv 2007.14966); llama.cpp ``llama_sampler_init_mirostat``.
    Engines: llama.cpp and koboldcpp. llama.cpp computes k in float32: where the exact k lies within about 1e-5 of an
    integer, its k may be one less or more. From 2**31 on its k overflows and one token is left; decodekit keeps all, as
    the formula says.
    Example: mirostat = 1.5
    """

    mirostat: _Surprise
    m: Annotated[int, Field(ge=2, le=100_000)] = 100

    @property
    def _target(self) -> float:
        return self.mirostat

    @property
    def needs(self) -> Disclosure:
        return Disclosure(self.m)

    def __call__(self, dist: Distribution, ctx: Context, state: float) -> Distribution:
        """Exact on a head of at least m and k tokens, where the size of the vocabulary is known."""
        if dist.vocab_size is None:
            raise Undisclosed(ALL, "the size of the vocabulary")
        scores = -np.sort(-dist.top(self.m).scores)
        scores = scores[scores > -math.inf]
        if len(scores) == 1:
            return dist
        ranks = np.arange(1, len(scores))
        t = np.log((ranks + 1) / ranks)
        slope = float((t * -np.diff(scores)).sum() / (t * t).sum())
        k = _zipf_rank(slope, state, dist.vocab_size)
        kept = dist.top(max(1, int(min(k, dist.vocab_size))))
        near = k < dist.vocab_size + 1 and abs(k - round(k)) < 1e-9 * max(k, 1.0)
        return kept.marked_ambiguous() if near else kept


def _zipf_rank(slope: float, mu: float, vocab_size: int) -> float:
    """The rank, not yet rounded, whose surprisal is mu bits under Zipf's law of this slope."""
    exponent = slope - 1
    x = exponent * math.log(vocab_size)
    growth = 1.0 if x == 0 else x / -math.expm1(-x)  # e / (1 - V**-e), times log V
    log_base = math.log(growth) - math.log(math.log(vocab_size)) + mu * _BIT
    if slope == 0:
        return math.inf if log_base > 0 else 1.0
    return math.exp(min(log_base / slope, 700.0))
