"""The samplers of the core: `multinomial`, `greedy` and `inverse_cdf`; and `provider`, which draws nothing here.

They are here and not among the plugins because a verifier must not depend on plugins. Each takes a distribution and
the step's noise, and returns a `Choice`; all are stateless.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from decodekit.distribution import Distribution, Row
from decodekit.distribution.disclosure import ALL, Disclosure, Undisclosed
from decodekit.distribution.hidden import Hidden
from decodekit.draw.choice import Choice, Draw
from decodekit.draw.context import Context
from decodekit.draw.randomness import SINGLE, TOKENS, BoundRandomness, gumbel_of, uniform_of, words_above
from decodekit.errors import ParameterError
from decodekit.types import Floats, Ids

__all__ = ["CORE_SAMPLERS", "best_hidden", "greedy", "inverse_cdf", "multinomial", "provider", "race"]

_LEADERS = 128


def multinomial(dist: Distribution, ctx: Context, randomness: BoundRandomness) -> Choice:
    """Draw from the distribution by the Gumbel-max trick, with noise keyed by token id.

    The largest ``score_i + g_i`` wins, scores shifted by their maximum, in float64; ties go to the lowest id.
    On a head with a tail the winner is returned if no hidden token could beat it.

    Formula: argmax of s_i + g_i, with g_i = -log(-log(u_i))
    Edges: where one token is left, it is chosen.
    Source: the Gumbel-max trick (Maddison, Tarlow and Minka 2014, arXiv 1411.0030); the noise of RNG.md.
    Engines: all draw from the same distribution, each with its own random numbers: one uniform and a cumulative sum in
    llama.cpp, exponential noise in vLLM, Gumbel noise in SGLang (with a seed), exllamav3 and mlx-lm,
    ``torch.multinomial`` in transformers.

    Raises:
        Undisclosed: exactly the hidden ids that could win are named, when the vocabulary's size is known.
    """
    noise = randomness.within(TOKENS)
    token, best, second, runner_up, word = race(*_contenders(dist, noise))
    if dist.hidden is not None:
        furthest = best_hidden(dist.row, dist.hidden, noise, best)
        if furthest >= second:  # a hidden token may be second
            second, runner_up = furthest, None
    return Choice(
        token_id=token,
        logprob=dist.logprob(token) if dist.knows_normalizer else None,
        score=best,
        margin=best - second,
        runner_up=runner_up,
        draw=Draw(TOKENS, noise.stream, noise.step, noise.draw, token, word),
    )


def race(ids: Ids, shifted: Floats, words: NDArray[np.uint64]) -> tuple[int, float, float, int | None, int]:
    """The definition of RNG.md on the given tokens: winner, its perturbed score, the second's, the second, the word.

    Args:
        ids: int64[n], the tokens.
        shifted: float64[n], their scores less the largest score of the whole support.
        words: uint64[n], their random words.
    """
    perturbed = shifted + gumbel_of(words)
    first = _lowest_id_at_the_top(perturbed, ids)
    best = float(perturbed[first])
    if len(ids) == 1:
        return int(ids[0]), best, -math.inf, None, int(words[0])
    perturbed[first] = -math.inf
    follower = _lowest_id_at_the_top(perturbed, ids)
    if perturbed[follower] == -math.inf:  # so far below that no float64 holds the difference: all others are equal
        others = np.delete(ids, first)
        follower = int(np.flatnonzero(ids == others.min())[0])
    return int(ids[first]), best, float(perturbed[follower]), int(ids[follower]), int(words[first])


def _lowest_id_at_the_top(values: Floats, ids: Ids) -> int:
    """Where the largest value is; of several, the one with the lowest id."""
    first = int(values.argmax())
    equal = (values == values[first]).nonzero()[0]
    return first if len(equal) == 1 else int(equal[ids[equal].argmin()])


def greedy(dist: Distribution, ctx: Context, randomness: BoundRandomness) -> Choice:
    """The largest score; the lowest id among equals. Consumes no randomness.

    Formula: argmax of s_i
    Edges: of equals the lowest id.
    Source: llama.cpp's ``greedy``, on candidates in id order.
    Engines: all. It is called do_sample=False in transformers, and a temperature of 0 or nearly 0 in most others.
    """
    dist.require_top(2)
    ids, scores = dist.row.first(2)
    return Choice(
        token_id=int(ids[0]),
        logprob=dist.logprob(int(ids[0])) if dist.knows_normalizer else None,
        score=float(scores[0]),
        margin=float(scores[0] - scores[1]) if len(ids) == 2 else math.inf,
        runner_up=int(ids[1]) if len(ids) == 2 else None,
    )


def inverse_cdf(dist: Distribution, ctx: Context, randomness: BoundRandomness) -> Choice:
    """Draw by one uniform: the first token, in id order, whose cumulative mass exceeds ``u * total``.

    Formula: the first i in id order with p_0 + ... + p_i > u
    Edges: where one token is left, it is chosen; tokens without probability are skipped.
    Source: the inversion method (Devroye 1986, Non-Uniform Random Variate Generation, chapter III); noise of RNG.md.
    Engines: llama.cpp uses the order of the candidates after its chain; exllamav2 uses falling probability, with the
    uniform scaled by 0.9998, so that the last tokens are never drawn.

    Raises:
        Undisclosed: on a head with a tail, whose ids lie between the disclosed ones.
    """
    noise = randomness.within(SINGLE)
    if dist.tail is not None:
        raise Undisclosed(ALL, "a walk over the whole vocabulary")
    ids = np.sort(dist.support())
    word = noise.words([0])
    u = float(uniform_of(word)[0])
    weights = np.exp(dist.scores_of(ids) - dist.max_score)
    ids, cumulative = ids[weights > 0], np.cumsum(weights[weights > 0])
    total = float(cumulative[-1])
    where = int(np.searchsorted(cumulative, u * total, side="right"))  # in range: u * total < total, for every u
    below = float(cumulative[where - 1]) if where else 0.0
    edges = [(u * total - below, where - 1), (float(cumulative[where]) - u * total, where + 1)]
    margin, neighbour = min((edge for edge in edges if 0 <= edge[1] < len(ids)), default=(math.inf, -1))
    return Choice(
        token_id=int(ids[where]),
        logprob=dist.logprob(int(ids[where])),
        score=u,
        margin=margin / total,
        runner_up=int(ids[neighbour]) if neighbour >= 0 else None,
        draw=Draw(SINGLE, noise.stream, noise.step, noise.draw, 0, int(word[0])),
    )


def provider(dist: Distribution, ctx: Context, randomness: BoundRandomness) -> Choice:
    """The model's provider draws, with its own random numbers; the chain is translated into its parameters.

    For APIs that return text and cannot continue a given prefix. A session asks such an adapter for tokens in place of
    distributions, so this function is not called; on a distribution it refuses.

    Formula: the provider's own; the parts of the chain are its parameters, or are refused
    Edges: a seed is passed on and not believed: nothing is proved, and a trace of it is consistent.
    Source: docs/decisions/0025-the-provider-draws.md.
    Engines: those behind an API; see docs/remote.md.

    Raises:
        ParameterError: always.
    """
    raise ParameterError(
        "sampler 'provider': this adapter gives distributions and draws nothing itself; use another sampler, such as "
        "multinomial"
    )


def _contenders(dist: Distribution, noise: BoundRandomness) -> tuple[Ids, Floats, NDArray[np.uint64]]:
    """Every token that could come first or second in the race: ids, shifted scores, words.

    On a whole vocabulary the most likely tokens are compared first. Any other token has at most the score of the last
    of them, so its noise must raise it from there to the second best of them; a comparison of words finds the few for
    which it does, and no exponential or logarithm is computed for the rest.
    """
    row = dist.row
    if row.ids is not None:
        ids, shifted = row.ids, row.values - row.max_score
        if row.masked:
            alive = shifted > -math.inf
            ids, shifted = ids[alive], shifted[alive]
        every = dist.hidden is not None and row.vocab_size is not None  # the hidden tokens are looked at, too
        return ids, shifted, noise.all_words(row.vocab_size or 0)[ids] if every else noise.words(ids)
    words = noise.all_words(len(row))
    ids, scores = row.first(_LEADERS)
    shifted = scores - row.max_score
    if len(ids) < _LEADERS:  # no other token has probability
        return ids, shifted, words[ids]
    perturbed = shifted + gumbel_of(words[ids])
    perturbed.partition(len(ids) - 2)
    contending = words_above(words, float(perturbed[-2] - shifted[-1]))
    contending[ids] = True
    ids = contending.nonzero()[0]
    shifted = row.scores_of(ids) - row.max_score
    if row.masked:
        alive = shifted > -math.inf
        ids, shifted = ids[alive], shifted[alive]
    return ids, shifted, words[ids]


def best_hidden(row: Row, hidden: Hidden, noise: BoundRandomness, best: float) -> float:
    """The largest perturbed score a hidden token can have. Raises `Undisclosed` if it reaches the winner's."""
    assert row.ids is not None
    if row.vocab_size is None:
        raise Undisclosed(ALL, "a draw in which hidden tokens take part")
    bound = hidden.max_score - row.max_score
    words = noise.all_words(row.vocab_size)
    above = words_above(words, best - bound)
    above[row.ids] = False
    if hidden.allowed is not None:
        above &= hidden.allowed
    ids = above.nonzero()[0]
    possible = ids[gumbel_of(words[ids]) + bound >= best]
    if len(possible):
        need = Disclosure(max(len(row), hidden.disclosed), tuple(possible.tolist()))
        raise Undisclosed(need, "a draw that hidden tokens could win")
    largest = words.max(keepdims=True)  # the largest word makes the largest number
    if hidden.allowed is not None or words[row.ids].max() == largest[0]:  # it may be of a token that is not hidden
        hidden_words = words.copy() if hidden.allowed is None else np.where(hidden.allowed, words, np.uint64(0))
        hidden_words[row.ids] = 0
        largest = hidden_words.max(keepdims=True)
    return float(gumbel_of(largest)[0] + bound)


CORE_SAMPLERS: Mapping[str, Callable[[Distribution, Context, BoundRandomness], Choice]] = MappingProxyType(
    {"greedy": greedy, "inverse_cdf": inverse_cdf, "multinomial": multinomial, "provider": provider}
)
