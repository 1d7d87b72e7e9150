"""The log-probabilities that a step has recorded for each stage, and the comparison of two stages."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from decodekit.chain import Entry
from decodekit.errors import DecodekitError
from decodekit.text.counted import counted
from decodekit.trace.differences.parts import StageDifference
from decodekit.trace.step import Step
from decodekit.types import Floats, Ids

__all__ = ["Values", "after", "compare", "final_values", "raw_values"]

_SAME = 1e-9  # nats, relative above 1; another order of a sum changes a log-probability by less
_TOP = 8


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """What is recorded of one distribution.

    Args:
        ids: int64[n], rising.
        logprobs: float64[n], in nats; up to a constant where not ``normalised``.
        complete: whether no other token has probability.
        normalised: whether these are log-probabilities.
        entropy, support: as recorded.
        what: what these are, for a note on what is missing.
        most: no token that is not listed has a larger log-probability; inf where nothing bounds them.
        offset: the normaliser of the model's logits, in nats; None where these are no logits.
    """

    ids: Ids
    logprobs: Floats
    complete: bool
    normalised: bool
    entropy: float | None
    support: int | None
    what: str
    most: float = math.inf
    offset: float | None = None

    def at(self, token_ids: Ids) -> Floats:
        """The log-probabilities of these tokens; NaN where one is not recorded, -inf where it was removed."""
        places = np.searchsorted(self.ids, token_ids)
        places[places == len(self.ids)] = 0
        found = self.ids[places] == token_ids if len(self.ids) else np.zeros(len(token_ids), dtype=bool)
        missing = -math.inf if self.complete else math.nan
        return np.where(found, self.logprobs[places] if len(self.ids) else missing, missing)


def raw_values(step: Step, vocab_size: int | None) -> Values:
    """Of the model's answer: the row at level 'full', else its leading tokens and the chosen one."""
    answer = None
    try:
        answer = step.answer(vocab_size)
    except DecodekitError:  # a row that is no distribution
        answer = None
    entropy, support = step.raw.entropy, step.raw.support
    if answer is None:
        listed = _listed(step.raw.top, step, step.choice.raw_logprob, entropy, support)
        return replace(listed, offset=_offset(step))
    if answer.token_ids is None:
        ids = np.arange(len(answer.row), dtype=np.int64)
        return Values(ids, answer.logprobs, True, True, entropy, support, "all tokens", offset=_offset(step))
    ids = np.sort(answer.token_ids)
    whole, known = answer.hidden is None, answer.knows_normalizer
    values = answer.logprobs_of(ids) if known else answer.scores_of(ids)
    what = "all tokens" if whole else f"a head of {counted(len(ids), 'token')}"
    most = math.inf if answer.tail is None or answer.tail.max_logprob is None else answer.tail.max_logprob
    return Values(ids, values, whole, known, entropy, support, what, most, _offset(step))


def _offset(step: Step) -> float | None:
    return step.raw.log_normalizer if step.raw.origin == "logits" else None


def after(step: Step, entry: Entry) -> Values:
    """Of the result of one processor: its leading tokens and the chosen one."""
    return _listed(entry.top, step, entry.chosen, entry.entropy, entry.support)


def final_values(step: Step) -> Values:
    """Of what the token was drawn from: the evidence, or at level 'choice' what the last processor's entry has."""
    last = step.entries[-1] if step.entries else None
    entropy, support = (last.entropy, last.support) if last is not None else (step.raw.entropy, step.raw.support)
    if step.evidence is None:
        top = last.top if last is not None else step.raw.top
        return _listed(top, step, step.choice.logprob, entropy, support)
    order = np.argsort(step.evidence.token_ids)
    ids, scores = step.evidence.token_ids[order], step.evidence.scores[order].astype(np.float64)
    whole = step.evidence.floor is None
    shifted = scores - float(scores.max())
    if whole:
        constant: float | None = -math.log(float(np.exp(shifted).sum()))
    else:
        constant = _constant(dict(zip(ids.tolist(), shifted.tolist(), strict=True)), step)
    logprobs, known = shifted + (constant or 0.0), constant is not None
    what = "all tokens" if whole else f"{counted(len(ids), 'token')} of the final scores"
    floor = step.evidence.floor
    most = math.inf if floor is None or constant is None else floor - float(scores.max()) + constant
    return Values(ids, logprobs, whole, known, entropy, support, what, most)


def _constant(scores: dict[int, float], step: Step) -> float | None:
    """What makes scores log-probabilities: by a leading token of the last stage, or else by the chosen one."""
    top = step.entries[-1].top if step.entries else step.raw.top
    chosen = [] if step.choice.logprob is None else [(step.token_id, step.choice.logprob)]
    pairs = ((logprob, scores.get(token_id, -math.inf)) for token_id, logprob in (*top, *chosen))
    return next((logprob - score for logprob, score in pairs if math.isfinite(logprob - score)), None)


def _listed(
    top: tuple[tuple[int, float], ...],
    step: Step,
    chosen: float | None,
    entropy: float | None,
    support: int | None,
) -> Values:
    pairs = dict(top)
    most = min(pairs.values(), default=math.inf)
    if chosen is not None and chosen <= most + _SAME * max(1.0, abs(chosen)):  # a forged one may be larger
        pairs.setdefault(step.token_id, chosen)
    ids = np.array(sorted(pairs), dtype=np.int64)
    logprobs = np.array([pairs[each] for each in ids.tolist()], dtype=np.float64)
    whole = support is not None and int(np.count_nonzero(logprobs > -math.inf)) >= support
    what = "all tokens" if whole else f"{len(ids)} leading tokens"
    return Values(ids, logprobs, whole, True, entropy, support, what, most)


def compare(
    name: str, a: Values | None, b: Values | None, place_a: int | None = None, place_b: int | None = None
) -> StageDifference:
    """Two recorded distributions of one stage; None for a stage that one side does not have."""
    low = high = drift = None
    same: bool | None = None
    compared = only_a = only_b = 0
    missing = ""
    if a is not None and b is not None:
        ids = np.union1d(a.ids, b.ids)
        one, other = a.at(ids), b.at(ids)
        normalised = a.normalised and b.normalised
        differ = normalised and (_out_of_reach(one, other, b.most) or _out_of_reach(other, one, a.most))
        differ = differ or not all(map(_agree, (a.entropy, a.support, a.offset), (b.entropy, b.support, b.offset)))
        both = ~(np.isnan(one) | np.isnan(other))
        one, other = one[both], other[both]
        if normalised:
            low, high = _tv(one, other)
        alive, alive_b = one > -math.inf, other > -math.inf
        only_a, only_b = int((alive & ~alive_b).sum()), int((alive_b & ~alive).sum())
        one, other = one[alive & alive_b], other[alive & alive_b]
        compared = len(one)
        if compared:
            drift = float(np.abs(other - one).max()) if normalised else float(np.ptp(other - one))
        if differ:
            same = False
        elif both.any():
            same = not (only_a or only_b) and (drift is None or drift <= _SAME * max(1.0, float(np.abs(one).max())))
        missing = _missing(a, b)
    return StageDifference(
        name=name, place_a=place_a, place_b=place_b, compared=compared,
        only_a=only_a, only_b=only_b, drift=drift, tv_low=low, tv_high=high,
        entropy_a=None if a is None else a.entropy, entropy_b=None if b is None else b.entropy,
        support_a=None if a is None else a.support, support_b=None if b is None else b.support,
        top_a=_top(a), top_b=_top(b), same=same, missing=missing,
    )  # fmt: skip


def _tv(one: Floats, other: Floats) -> tuple[float, float]:
    """Bounds from the tokens recorded on both sides: the rest may be equal, or have nothing in common."""
    p, q = np.exp(one), np.exp(other)
    gap, rest_p, rest_q = float(np.abs(p - q).sum()), max(0.0, 1.0 - float(p.sum())), max(0.0, 1.0 - float(q.sum()))
    return min(1.0, 0.5 * (gap + abs(rest_p - rest_q))), min(1.0, 0.5 * (gap + rest_p + rest_q))


def _out_of_reach(one: Floats, other: Floats, most: float) -> bool:
    """Whether a token that the other side does not list is more likely on this one than any such token is there."""
    unlisted = one[np.isnan(other) & ~np.isnan(one)]
    return bool((unlisted > most + _SAME * max(1.0, abs(most))).any())


def _agree(one: float | None, other: float | None) -> bool:
    return one is None or other is None or abs(one - other) <= _SAME * max(1.0, abs(one))


def _missing(a: Values, b: Values) -> str:
    if a.complete and b.complete:
        return ""
    parts = [values.what if len(values.ids) else "nothing" for values in (a, b)]
    if parts[0] == parts[1]:
        return f"only {parts[0]} of both are recorded" if parts[0] != "nothing" else "nothing of both is recorded"
    return f"recorded of the first: {parts[0]}; of the second: {parts[1]}"


def _top(values: Values | None) -> tuple[tuple[int, float], ...]:
    if values is None or not values.normalised:
        return ()
    order = np.lexsort((values.ids, -values.logprobs))[:_TOP]
    return tuple((int(values.ids[i]), float(values.logprobs[i])) for i in order if values.logprobs[i] > -math.inf)
