"""How far a chain moves a model: the divergence of the law of texts, in nats, with errors by text."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from decodekit.analysis.numbers.estimators import ratio
from decodekit.analysis.numbers.statistics import Estimate, mean
from decodekit.analysis.texts.enumeration import MOST_WIDTH
from decodekit.analysis.texts.law import AnyChain, AnyModel, Next, TextLaw
from decodekit.analysis.texts.moves import Move, move_between, recorded_moves
from decodekit.analysis.texts.samples import sampled_beginnings
from decodekit.chain import Chain
from decodekit.distribution.disclosure import ALL, Undisclosed
from decodekit.draw.randomness import Randomness
from decodekit.draw.weights import effective_size
from decodekit.draw.whole import whole
from decodekit.errors import ParameterError
from decodekit.session.prompts import Prompt
from decodekit.text.tokenizer import Tokenizer
from decodekit.trace.trace import Trace
from decodekit.types import Floats

__all__ = ["ChainShift", "chain_shift", "recorded_shift", "shift_of"]


@dataclass(frozen=True, slots=True, eq=False)
class ChainShift:
    """How far a chain q moves a model p, from texts drawn from q. None where a step does not tell.

    Args:
        kl: KL(q || p) of the law of whole texts, in nats: the mean over texts of the sum of the exact divergences of
            their tokens. Unbiased.
        kl_per_token: the same sums over all tokens.
        log_ratio: the mean of log q - log p of the text, in nats: the same expectation, and another error, which may be
            smaller or larger. Known wherever the chosen tokens' probabilities are.
        mass_removed: the mean over tokens of the probability, under p, of what q removed.
        model_entropy, chain_entropy: the mean over tokens, in nats, of the entropy of p and of q, along texts of q.
        log_weights: float64[n], log p - log q of each text, in nats: its importance weight for questions about p.
        tokens: how many there are in all texts together.
        moves: those of the tokens of each text, one by one.
    """

    kl: Estimate | None
    kl_per_token: Estimate | None
    log_ratio: Estimate | None
    mass_removed: Estimate | None
    model_entropy: Estimate | None
    chain_entropy: Estimate | None
    log_weights: Floats | None
    tokens: int
    moves: tuple[tuple[Move, ...], ...]

    @property
    def effective_size(self) -> float:
        """How many texts of p the weighted texts of q are worth: ``(sum w)**2 / sum w**2``.

        Raises:
            Undisclosed: a weight is not known.
        """
        if self.log_weights is None:
            raise Undisclosed(ALL, "the importance weight of a text")
        return effective_size(self.log_weights)


def chain_shift(
    model: AnyModel,
    prompt: Prompt,
    chain: AnyChain,
    max_tokens: int,
    *,
    n: int,
    seed: int | None = None,
    stop_ids: Sequence[int] = (),
    metadata: Mapping[str, Any] | None = None,
) -> ChainShift:
    """Draw n texts under a chain and measure how far it moves the model along them.

    Args:
        model, prompt, chain, stop_ids, metadata: as for `decodekit.analysis.texts.law.TextLaw`.
        max_tokens, n: from 1 on.
        seed: of the draws; a random one when None.

    Raises:
        ParameterError, Undisclosed, DecodekitError: as for `decodekit.analysis.texts.marginals.marginal`.
    """
    texts = TextLaw(model, prompt, chain=chain, stop_ids=stop_ids, metadata=metadata)
    count = whole(n, "n", 1, MOST_WIDTH)
    moves: list[list[Move]] = [[] for _ in range(count)]

    def add(stream: int, after: Next, token_id: int) -> None:
        moves[stream].append(move_between(after.raw, after.law, token_id))

    length = whole(max_tokens, "max_tokens", 1, MOST_WIDTH)
    sampled_beginnings(texts, count, length, Randomness(seed).seed, add)
    return shift_of(moves)


def recorded_shift(trace: Trace, *, chain: Chain | None = None, tokenizer: Tokenizer | None = None) -> ChainShift:
    """The same from a recorded run, without the model; see `decodekit.analysis.texts.moves.recorded_move`.

    Args:
        trace: the run. At level 'full' the chain runs again on the recorded rows where that is needed.
        chain: the recorded chain, newly built, if parts of it are not registered by name.
        tokenizer: that of the run, for parts of the chain that use it.

    Raises:
        ConfigError: the given chain is another one.
        ParameterError: the trace does not have what the tokens were drawn from, or no tokens.
    """
    return shift_of([text for text in recorded_moves(trace, chain=chain, tokenizer=tokenizer) if text])


def shift_of(texts: Sequence[Sequence[Move]]) -> ChainShift:
    """The shift from the moves of the tokens of each text.

    Raises:
        ParameterError: there are no texts, or one without tokens.
    """
    if not texts or not all(texts):
        raise ParameterError("the shift of a chain is a mean over texts: give at least one, each with a token")
    sizes = [float(len(text)) for text in texts]
    kl, log_ratio = _sums(texts, lambda each: each.kl), _sums(texts, lambda each: each.log_ratio)
    return ChainShift(
        None if kl is None else mean(kl),
        _per_token(kl, sizes),
        None if log_ratio is None else mean(log_ratio),
        _per_token(_sums(texts, lambda each: each.mass_removed), sizes),
        _per_token(_sums(texts, lambda each: each.model_entropy), sizes),
        _per_token(_sums(texts, lambda each: each.chain_entropy), sizes),
        None if log_ratio is None else -log_ratio,
        int(sum(sizes)),
        tuple(tuple(text) for text in texts),
    )


def _sums(texts: Sequence[Sequence[Move]], value: Callable[[Move], float | None]) -> Floats | None:
    found = [[value(each) for each in text] for text in texts]
    if any(each is None for text in found for each in text):
        return None
    return np.array([math.fsum(each for each in text if each is not None) for text in found])


def _per_token(sums: Floats | None, sizes: Sequence[float]) -> Estimate | None:
    return None if sums is None else ratio(sums, sizes)
