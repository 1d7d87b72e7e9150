"""The entropy of a whole continuation, by the chain rule: the sum of the entropies of its tokens, each given those
before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from decodekit.analysis.numbers.estimators import ratio
from decodekit.analysis.numbers.statistics import Estimate, mean
from decodekit.analysis.texts.enumeration import MOST_WIDTH, enumerate_texts
from decodekit.analysis.texts.law import AnyChain, AnyModel, Next, TextLaw
from decodekit.analysis.texts.samples import sampled_beginnings
from decodekit.distribution.disclosure import Interval
from decodekit.draw.randomness import Randomness
from decodekit.draw.whole import whole
from decodekit.session.prompts import Prompt

__all__ = ["SequenceEntropy", "sequence_entropy", "sequence_entropy_bounds"]


@dataclass(frozen=True, slots=True)
class SequenceEntropy:
    """The entropy of the text that follows a prompt, up to a number of tokens.

    Args:
        entropy: in nats: the mean over texts of the sum of their tokens' entropies. Unbiased.
        surprisal: in nats: the mean of minus the log-probability of the text. The same expectation, and another
            error, which is often larger.
        per_token: nats per token: all entropies over all tokens.
        tokens: the mean length of a text.
        seed: of the draws.
    """

    entropy: Estimate
    surprisal: Estimate
    per_token: Estimate
    tokens: Estimate
    seed: int


def sequence_entropy(
    model: AnyModel,
    prompt: Prompt,
    max_tokens: int,
    *,
    n: int,
    seed: int | None = None,
    chain: AnyChain = None,
    stop_ids: Sequence[int] = (),
    metadata: Mapping[str, Any] | None = None,
) -> SequenceEntropy:
    """Estimate the entropy of a continuation of at most so many tokens from n sampled texts.

    Text j is the one that `Session.generate` writes with this seed and ``stream=j``. Errors are by text.

    Args:
        model, prompt, chain, stop_ids, metadata: as for `decodekit.analysis.texts.law.TextLaw`.
        max_tokens, n: from 1 on.
        seed: of the draws; a random one when None.

    Raises:
        Undisclosed: the entropy of a distribution is not known.
        ParameterError, DecodekitError: as for `decodekit.analysis.texts.marginals.marginal`.
    """
    texts = TextLaw(model, prompt, chain=chain, stop_ids=stop_ids, metadata=metadata)
    count, source = whole(n, "n", 1, MOST_WIDTH), Randomness(seed)
    entropies = np.zeros(count)

    def add(stream: int, after: Next, token_id: int) -> None:
        entropies[stream] += after.law.entropy

    begun = sampled_beginnings(texts, count, whole(max_tokens, "max_tokens", 1, MOST_WIDTH), source.seed, add)
    lengths = [float(len(each.ids)) for each in begun]
    return SequenceEntropy(
        mean(entropies),
        mean([-each.logprob for each in begun]),
        ratio(entropies, lengths),
        mean(lengths),
        source.seed,
    )


def sequence_entropy_bounds(
    model: AnyModel,
    prompt: Prompt,
    max_tokens: int,
    *,
    width: int = 1024,
    chain: AnyChain = None,
    stop_ids: Sequence[int] = (),
    metadata: Mapping[str, Any] | None = None,
) -> Interval:
    """Bounds on the same entropy, in nats, by enumeration: a point, up to rounding, where all texts were enumerated.

    A text that was left out has at most the entropy of uniform tokens.

    Args:
        model, prompt, max_tokens, chain, stop_ids, metadata: as for `sequence_entropy`.
        width: how many beginnings are kept at each length, the most likely ones.

    Raises:
        ParameterError, Undisclosed, DecodekitError: as for `decodekit.analysis.texts.marginals.marginal`.
    """
    texts = TextLaw(model, prompt, chain=chain, stop_ids=stop_ids, metadata=metadata)
    return enumerate_texts(texts, max_tokens, width=width).entropy
