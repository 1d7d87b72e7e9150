"""A chain over given rows, token after token, without a session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from decodekit import Chain, Choice, Context, Distribution, Randomness
from decodekit.draw.context import TokenIds


def decide(
    chain: Chain, rows: Sequence[ArrayLike], *, seed: int = 0, stream: int = 0
) -> list[tuple[Distribution, Choice, tuple[Any, ...]]]:
    """The final distribution, the choice and the states after it, for each row."""
    context, randomness, steps = Context(TokenIds([0])), Randomness(seed, stream), []
    states = chain.initial(context)
    for index, row in enumerate(rows):
        final, choice, _, states = chain.step(Distribution.dense(row), context, states, randomness.at(index))
        context = Context(context.prompt_ids, TokenIds([*context.output_ids, choice.token_id]))
        steps.append((final, choice, states))
    return steps


def tokens(chain: Chain, rows: Sequence[ArrayLike]) -> list[int]:
    """The ids that the chain chooses."""
    return [choice.token_id for _, choice, _ in decide(chain, rows)]


def probabilities(dist: Distribution) -> list[float]:
    """Of every id of the vocabulary."""
    assert dist.vocab_size is not None
    return np.exp(dist.logprobs_of(range(dist.vocab_size))).tolist()
