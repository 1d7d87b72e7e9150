"""What a step's record says of the distribution that its token was drawn from.

It is a `Distribution` like any other: tokens that are not recorded are hidden ones, with a bound. So each question to
it is answered only where the record proves the answer, and raises `Undisclosed` elsewhere.
"""

from __future__ import annotations

import math

import numpy as np

from decodekit.distribution import Distribution
from decodekit.errors import DecodekitError
from decodekit.trace.evidence import Evidence
from decodekit.trace.step import Step

__all__ = ["final_law"]


def final_law(step: Step, vocab_size: int | None) -> Distribution | None:
    """The distribution after the chain, as far as it was recorded; None where nothing is known of it.

    Args:
        step: the record.
        vocab_size: the number of tokens in all; None where it is not known.
    """
    try:
        if step.evidence is not None:
            return _of_evidence(step.evidence, step, vocab_size)
        return _of_leaders(step, vocab_size)
    except DecodekitError:  # a damaged record
        return None


def _of_evidence(evidence: Evidence, step: Step, vocab_size: int | None) -> Distribution | None:
    ids, scores = evidence.token_ids, evidence.scores
    if evidence.floor is None:
        return Distribution.listed(ids, scores, vocab_size, stage="processed")
    here = ids == step.token_id
    if step.choice.logprob is None or not here.any():
        return None
    shift = step.choice.logprob - float(scores[here][0])
    return Distribution.head(ids, scores + shift, vocab_size, stage="processed", max_hidden=evidence.floor + shift)


def _of_leaders(step: Step, vocab_size: int | None) -> Distribution | None:
    """Of the leading tokens at the last stage and the chosen one, where the scores were not recorded."""
    last = step.entries[-1] if step.entries else step.raw
    known = dict(last.top)
    lowest = min(known.values(), default=0.0)
    if step.choice.logprob is not None:
        known.setdefault(step.token_id, step.choice.logprob)
    if not known or last.tail is not None or any(entry.gave_up is not None for entry in step.entries):
        return None
    ids, logprobs = np.array(list(known)), np.array(list(known.values()))
    if last.support is not None and last.support <= len(known):
        return Distribution.listed(ids, logprobs, vocab_size, origin="logprobs", stage="processed")
    if not math.isfinite(lowest):
        return None
    return Distribution.head(ids, logprobs, vocab_size, stage="processed", max_hidden=lowest)
