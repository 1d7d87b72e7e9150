"""The recorded chain, run again on the rows that level 'full' records: the law that each token was drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from decodekit.chain import Chain
from decodekit.distribution import Distribution
from decodekit.draw.context import TokenIds
from decodekit.draw.randomness import Randomness
from decodekit.errors import ConfigError, DecodekitError
from decodekit.text.tokenizer import Tokenizer
from decodekit.trace.rebuild import chain_of
from decodekit.trace.reproducing import recorded_context
from decodekit.trace.step import Step
from decodekit.trace.trace import Trace

__all__ = ["laws_again", "rebuilt"]

_SAME = 1e-9  # nats


def rebuilt(trace: Trace, given: Chain | None) -> Chain | None:
    """The recorded chain; None where it cannot be built from what is installed, or has hidden state.

    Raises:
        ConfigError: the given chain is another one.
    """
    try:
        chain = chain_of(trace, given)
    except ConfigError:
        if given is not None:
            raise
        return None
    return chain if chain.pure else None


def laws_again(
    trace: Trace, steps: Sequence[Step], chain: Chain | None, tokenizer: Tokenizer | None
) -> list[Distribution | None]:
    """The law of each of these steps: all those of one sequence, in their order.

    None from the first step on that cannot be run again (its row was not recorded, or a part needs the tokenizer or
    metadata), and where the chain gives other final scores than those on record.
    """
    laws: list[Distribution | None] = [None] * len(steps)
    states: tuple[Any, ...] = ()
    so_far, size = TokenIds(), trace.header.adapter.get("vocab_size")
    try:
        for place, step in enumerate(steps):
            row = step.answer(size)
            if chain is None or row is None:
                break
            context = recorded_context(trace, step.stream, so_far, tokenizer)
            if place == 0:
                states = chain.initial(context)
            noise = Randomness(trace.header.seed, step.stream).at(step.index)  # no processor of these steps uses it
            truncate = trace.header.on_undisclosed == "truncate"
            reshaped = chain.reshape(row, context, states, noise, truncate=truncate)
            states = reshaped.states_after(step.choice)
            so_far = so_far.append(step.token_id)
            laws[place] = reshaped.final if _on_record(step, reshaped.final) else None
    except DecodekitError:
        pass
    return laws


def _on_record(step: Step, law: Distribution) -> bool:
    """Whether this law has the final scores that were recorded."""
    evidence = step.evidence
    if evidence is None:
        return False
    scores = law.scores_of(evidence.token_ids)
    return bool(np.allclose(scores, evidence.scores, rtol=_SAME, atol=_SAME))
