"""What a step's record says of the distribution at each stage of its chain.

Each is a `Distribution` like any other: tokens that are not recorded are hidden ones, with a bound. So a question to it
is answered only where the record proves the answer, and raises `Undisclosed` elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from decodekit.distribution import Distribution
from decodekit.distribution.fields import filled
from decodekit.distribution.hidden import Hidden
from decodekit.errors import DecodekitError
from decodekit.plugin.installed import OURS
from decodekit.trace.evidence import Evidence
from decodekit.trace.step import Step
from decodekit.types import Floats

__all__ = ["RecordedLaw", "final_law", "heat_of", "is_leading", "law_after"]

_LEADING = frozenset({"top_k", "top_p", "min_p"})
_ONLY_REMOVE = _LEADING | {"typical_p", "allowed_tokens", "suppressed_tokens"}
_FAR_BELOW = -40.0  # a bound that says nothing


@dataclass(frozen=True, slots=True)
class RecordedLaw:
    """A distribution as far as it was recorded.

    Args:
        dist: the distribution.
        normalised: whether its log-probabilities are known; otherwise only their differences mean something.
    """

    dist: Distribution
    normalised: bool = True


def final_law(step: Step, vocab_size: int | None) -> RecordedLaw | None:
    """The distribution that the token was drawn from; None where nothing is known of it.

    Args:
        step: the record.
        vocab_size: the number of tokens in all; None where it is not known.
    """
    try:
        if step.evidence is not None:
            return _of_evidence(step.evidence, step, vocab_size)
        return _of_leaders(step, len(step.entries), {}, None, vocab_size)
    except DecodekitError:  # a damaged record
        return None


def law_after(
    step: Step, count: int, processors: Sequence[Mapping[str, Any]], vocab_size: int | None
) -> RecordedLaw | None:
    """The distribution after the first processors; None where nothing is known of it.

    Args:
        step: the record.
        count: how many processors; 0 for the model's own distribution.
        processors: all of them, as the header describes them.
        vocab_size: the number of tokens in all; None where it is not known.
    """
    if count == len(processors):
        return final_law(step, vocab_size)
    if len(step.entries) != len(processors):  # a tail was given up before the draw, or the record is damaged
        return None
    try:
        known, bound = _from_the_end(step, count, processors[count:])
        return _of_leaders(step, count, known, bound, vocab_size)
    except DecodekitError:  # a damaged record
        return None


def _of_evidence(evidence: Evidence, step: Step, vocab_size: int | None) -> RecordedLaw:
    ids, scores, floor = evidence.token_ids, evidence.scores, evidence.floor
    if floor is None or _nothing_is_missing(step, scores):
        return RecordedLaw(Distribution.listed(ids, scores, vocab_size, origin=step.raw.origin, stage="processed"))
    if step.choice.logprob is None or step.token_id not in ids:
        row = Distribution.listed(ids, scores, vocab_size).row
        count = None if vocab_size is None else vocab_size - len(ids)
        most = math.inf if count is None else floor + math.log(count)
        hidden = Hidden(-math.inf, most, count, floor)  # of all tokens together nothing is known
        head = filled(Distribution, row, hidden, "logprobs", "processed", 1.0, None)
        return RecordedLaw(head, normalised=False)
    shift = step.choice.logprob - float(scores[ids == step.token_id][0])
    last = step.entries[-1].top if step.entries else step.raw.top
    known = {**dict(last), **dict(zip(ids.tolist(), (scores + shift).tolist(), strict=True))}
    bound = min([floor + shift, *(logprob for _, logprob in last)])
    head = Distribution.head(
        list(known), list(known.values()), vocab_size, stage="processed", max_hidden=max(bound, _FAR_BELOW)
    )
    return RecordedLaw(head)


def _of_leaders(
    step: Step, count: int, more: Mapping[int, float], bound: float | None, vocab_size: int | None
) -> RecordedLaw | None:
    """Of the leading tokens at a stage, the chosen one, and what is known from later stages."""
    if any(entry.gave_up is not None for entry in step.entries):
        return None
    at = step.entries[count - 1] if count else step.raw
    known = dict(at.top)
    bounds = [min(known.values())] if known else []
    chosen = step.choice.raw_logprob if count == 0 else step.entries[count - 1].chosen
    if chosen is not None:
        known.setdefault(step.token_id, chosen)
    for token_id, logprob in more.items():
        known.setdefault(token_id, logprob)
    if bound is not None:
        bounds.append(bound)
    if not known or not bounds or not math.isfinite(min(bounds)):
        return None
    ids, logprobs = np.array(list(known)), np.array(list(known.values()))
    stage = step.raw.stage if count == 0 else "processed"
    heat = step.raw.temperature
    if at.tail is None and at.support is not None and at.support <= np.count_nonzero(logprobs > -math.inf):
        listed = Distribution.listed(ids, logprobs, vocab_size, origin="logprobs", stage=stage, temperature=heat)
        return RecordedLaw(listed)
    return RecordedLaw(
        Distribution.head(
            ids,
            logprobs,
            vocab_size,
            stage=stage,
            temperature=heat,
            max_hidden=min(bounds),
            entropy=at.entropy,
            support=at.support,
        )
    )


def _from_the_end(step: Step, count: int, later: Sequence[Mapping[str, Any]]) -> tuple[dict[int, float], float | None]:
    """Log-probabilities at a stage from the final scores, and a bound for the other tokens; None for no bound.

    That is possible where each later processor divides all scores by a number, or removes tokens.
    """
    evidence = step.evidence
    anchor = step.choice.raw_logprob if count == 0 else step.entries[count - 1].chosen
    factor, removing = 1.0, list[tuple[Mapping[str, Any], float]]()
    for part in later:
        heat = heat_of(part)
        if heat is not None:
            factor /= heat
        elif part.get("distribution") == OURS and part.get("name") in _ONLY_REMOVE:
            removing.append((part, factor))
        else:
            return {}, None
    if evidence is None or anchor is None or anchor == -math.inf or step.token_id not in evidence.token_ids.tolist():
        return {}, None
    here = float(evidence.scores[evidence.token_ids == step.token_id][0])
    values = (evidence.scores - here) / factor + anchor
    alive = values > -math.inf
    kept = alive if removing else np.ones(len(values), dtype=bool)
    known = dict(zip(evidence.token_ids[kept].tolist(), values[kept].tolist(), strict=True))
    floor = -math.inf if evidence.floor is None else (evidence.floor - here) / factor + anchor
    if _nothing_is_missing(step, evidence.scores):
        floor = -math.inf
    if not removing:
        return known, floor if floor > -math.inf else float(values[alive].min())
    if not all(is_leading(part) for part, _ in removing):
        return known, None
    edge = float(values[alive].min())
    if len(removing) == 1 and removing[0][0]["name"] == "min_p" and removing[0][0]["params"]["min_p"] > 0:
        part, scale = removing[0]  # the most likely token is there, so the edge itself is known
        edge = min(edge, float(values.max()) + math.log(part["params"]["min_p"]) / scale)
    return known, max(edge, floor)


def _nothing_is_missing(step: Step, scores: Floats) -> bool:
    """Whether the recorded final scores are those of all tokens that the chain left."""
    left = step.entries[-1].support if step.entries else step.raw.support
    return left is not None and left == np.count_nonzero(scores > -math.inf)


def is_leading(part: Mapping[str, Any]) -> bool:
    """Whether a processor, as a header describes it, leaves the tokens from some score up, of equals the lowest ids."""
    ties = part.get("params", {}).get("ties", "lowest")
    return part.get("distribution") == OURS and part.get("name") in _LEADING and ties == "lowest"


def heat_of(part: Mapping[str, Any]) -> float | None:
    """The temperature of a processor, as a header describes it, that only divides the scores; None for others."""
    if part.get("distribution") != OURS or part.get("name") != "temperature":
        return None
    heat = part.get("params", {}).get("temperature")
    return float(heat) if isinstance(heat, float | int) and 1e-3 <= heat <= 1e3 else None
