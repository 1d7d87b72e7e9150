"""The distribution of token t of a text, with the tokens before it not conditioned on.

A model gives the distribution of a token after known ones. Without them it is the mixture of these distributions over
all beginnings, by the law of total probability: P(token t = v) = sum over beginnings of P(beginning) P(v | beginning).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from decodekit.analysis.numbers.statistics import Estimate, mean
from decodekit.analysis.texts.enumeration import MOST_WIDTH, Enumeration
from decodekit.analysis.texts.law import AnyChain, AnyModel, Next, TextLaw
from decodekit.analysis.texts.samples import sampled_beginnings
from decodekit.draw.randomness import Randomness
from decodekit.draw.whole import whole
from decodekit.errors import ParameterError
from decodekit.session.prompts import Prompt
from decodekit.types import Floats

__all__ = ["Marginal", "SampledMarginal", "marginal", "sampled_marginal"]


@dataclass(frozen=True, slots=True, eq=False)
class Marginal:
    """The distribution of one token, by enumeration.

    Args:
        probabilities: float64[V]. Where nothing is ``missing`` they are exact; otherwise each lies below the true one
            by at most ``missing``, and the same for ``ended``.
        ended: the probability that the text has ended before this token.
        missing: the probability that is in neither, certain up to rounding. It also bounds the total variation between
            the true law and ``probabilities`` and ``ended`` divided by ``1 - missing``.
        conditional_entropy: the mean, over the beginnings, of the entropy of the token after it, in nats; None where
            something is missing.
        beginnings: how many were evaluated in the last step.
        evaluated: how many distributions the model was asked for.
    """

    probabilities: Floats
    ended: float
    missing: float
    conditional_entropy: float | None
    beginnings: int
    evaluated: int

    @property
    def entropy(self) -> float | None:
        """Of the token, in nats, with "ended" as one more outcome; None where something is missing."""
        if self.conditional_entropy is None:
            return None
        every = np.append(self.probabilities, self.ended)
        every = every[every > 0]
        return -float((every * np.log(every)).sum())

    @property
    def information(self) -> float | None:
        """What the tokens before tell of this one: the mutual information, in nats; None where something is missing.

        It is the mean divergence of the conditional distributions from this one: 0 only where they are all the same.
        """
        if self.entropy is None or self.conditional_entropy is None:
            return None
        return max(0.0, self.entropy - self.conditional_entropy)


@dataclass(frozen=True, slots=True, eq=False)
class SampledMarginal:
    """The distribution of one token, estimated from sampled beginnings.

    Args:
        probabilities: float64[V], the mean of the conditional distributions: unbiased.
        errors: float64[V], the standard error of each.
        ended: the share of texts that have ended before this token.
        conditional_entropy: the mean entropy of the token after its beginning, in nats.
        n: how many beginnings.
        seed: of the draws.
    """

    probabilities: Floats
    errors: Floats
    ended: Estimate
    conditional_entropy: Estimate
    n: int
    seed: int


def marginal(
    model: AnyModel,
    prompt: Prompt,
    position: int,
    *,
    chain: AnyChain = None,
    width: int = 1024,
    stop_ids: Sequence[int] = (),
    metadata: Mapping[str, Any] | None = None,
) -> Marginal:
    """The distribution of one token of the text, by enumeration of the beginnings before it.

    Args:
        model, prompt, chain, stop_ids, metadata: as for `decodekit.analysis.texts.law.TextLaw`.
        position: which token, from 0.
        width: how many beginnings are kept at each length, the most likely ones.

    Raises:
        ParameterError: a number out of range, or the size of the vocabulary is not known.
        Undisclosed: the adapter does not even tell the probabilities of the tokens that it shows.
        DecodekitError: the adapter's answer for a prefix, or an error of the chain.
    """
    texts = TextLaw(model, prompt, chain=chain, stop_ids=stop_ids, metadata=metadata)
    found, total = Enumeration(texts, width), np.zeros(_size(texts))
    for _ in range(whole(position, "position", 0, MOST_WIDTH)):
        found.advance()
    missing, entropy = [found.missing], 0.0
    for after in texts.after(found.open):
        weight = math.exp(after.before.logprob)
        shown = _add(total, after, weight)
        if after.law.hidden is None:
            entropy += weight * after.law.entropy
        else:
            missing.append(weight * max(0.0, 1.0 - shown))
    lost = math.fsum(missing)
    return Marginal(
        total,
        math.fsum(math.exp(each.logprob) for each in found.ended),
        lost,
        None if lost else entropy,
        len(found.open),
        found.evaluated + len(found.open),
    )


def sampled_marginal(
    model: AnyModel,
    prompt: Prompt,
    position: int,
    *,
    n: int,
    seed: int | None = None,
    chain: AnyChain = None,
    stop_ids: Sequence[int] = (),
    metadata: Mapping[str, Any] | None = None,
) -> SampledMarginal:
    """The distribution of one token of the text, as the mean of its conditional distributions over sampled beginnings.

    The token itself is not drawn (Rao and Blackwell): the mean of its distributions has a smaller error than the
    frequencies of drawn tokens. Beginning j is that of the text that `Session.generate` writes with this seed and
    ``stream=j``.

    Args:
        model, prompt, position, chain, stop_ids, metadata: as for `marginal`.
        n: how many beginnings, from 2 on.
        seed: of the draws; a random one when None.

    Raises:
        Undisclosed: a distribution is not wholly disclosed; `marginal` gives bounds.
        ParameterError, DecodekitError: as `marginal`.
    """
    texts = TextLaw(model, prompt, chain=chain, stop_ids=stop_ids, metadata=metadata)
    count, source = whole(n, "n", 2, MOST_WIDTH), Randomness(seed)
    begun = sampled_beginnings(texts, count, whole(position, "position", 0, MOST_WIDTH), source.seed)
    times: dict[tuple[int, ...], int] = {}
    for each in begun:
        times[each.ids] = times.get(each.ids, 0) + 1
    several = {each.ids: each for each in begun if not each.ended}
    average, spread, seen = np.zeros(_size(texts)), np.zeros(_size(texts)), 0
    entropies = dict.fromkeys(times, 0.0)
    for after in texts.after(several.values()):
        after.law.require_complete("the marginal distribution")
        row = np.zeros(len(average))
        _add(row, after, 1.0)
        seen = _update(average, spread, seen, row, times[after.before.ids])
        entropies[after.before.ids] = after.law.entropy
    if seen < count:  # texts that have ended give every token the probability 0
        _update(average, spread, seen, np.zeros(len(average)), count - seen)
    return SampledMarginal(
        average,
        np.sqrt(spread / (count - 1) / count),
        mean([float(each.ended) for each in begun]),
        mean([entropies[each.ids] for each in begun]),
        count,
        source.seed,
    )


def _update(average: Floats, spread: Floats, seen: int, row: Floats, times: int) -> int:
    """Take a row that occurs several times into a mean and a sum of squared deviations (West 1979), in place."""
    gap = row - average
    average += gap * (times / (seen + times))
    spread += times * gap * (row - average)
    return seen + times


def _size(texts: TextLaw) -> int:
    if texts.vocab_size is None:
        raise ParameterError("the number of tokens of this model is not known, so its marginal has no length")
    return texts.vocab_size


def _add(total: Floats, after: Next, weight: float) -> float:
    """Add a distribution, as far as it is disclosed; returns the probability of what is."""
    ids = after.law.token_ids
    shares = np.exp(after.law.logprobs)
    if ids is None:
        total += weight * shares
    else:
        total[ids] += weight * shares
    return math.fsum(shares.tolist()) if after.law.hidden is not None else 1.0
