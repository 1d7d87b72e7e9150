"""Numbers of a step that no run can have. They are notes beside the draw, which no verification covers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from decodekit.chain import Entry
from decodekit.text.counted import counted
from decodekit.trace.stages import Recorded

__all__ = ["impossible_of"]

_NOISE = 1e-6  # of sums in float64
_CLOSE = 1e-3  # two records of one number, of which one may be a float32


def impossible_of(step: Recorded) -> list[str]:
    """What is wrong with the recorded summaries of a step, in sentences; [] for every step that a run wrote."""
    raw, choice = step.raw, step.choice
    found = [*_distribution("the model", raw.support, raw.entropy, raw.top), *_chosen(step)]
    for name, logprob in (("raw_logprob", choice.raw_logprob), ("logprob", choice.logprob)):
        if logprob is not None and logprob > _NOISE:
            found.append(f"the {name} is above 0: {logprob:g}")
    for entry in step.entries:
        found += _entry(entry)
    return [f"impossible, the record is wrong here: {each}" for each in found]


def _distribution(
    who: str, support: int | None, entropy: float | None, top: Sequence[tuple[int, float]]
) -> Iterator[str]:
    most = math.inf if not support else math.log(support)
    if entropy is not None and not -_NOISE <= entropy <= most + _NOISE:
        over = "" if not support else f" over {counted(support, 'token')}"
        yield f"{who}: an entropy of {entropy:g} nats{over}"
    mass = sum(math.exp(min(logprob, 1.0)) for logprob in dict(top).values())
    if mass > 1 + _NOISE:
        yield f"{who}: the leading tokens have {mass:.2%} of the mass together"


def _entry(entry: Entry) -> Iterator[str]:
    yield from _distribution(entry.name, entry.support, entry.entropy, entry.top)
    for name, mass in (("removed", entry.mass_removed), ("left (Z)", entry.kept_mass)):
        if mass is not None and not -_NOISE <= mass <= 1 + _NOISE:
            yield f"{entry.name}: {mass:.2%} of the mass {name}"
    if entry.mass_removed is not None and entry.kept_mass is not None:
        whole = entry.mass_removed + entry.kept_mass
        if whole > 1 + _CLOSE:
            yield f"{entry.name}: {whole:.2%} of the mass removed and left"
    if entry.kl is not None and entry.kl < -_NOISE:
        yield f"{entry.name}: a divergence of {entry.kl:g} nats"


def _chosen(step: Recorded) -> Iterator[str]:
    """The model's numbers of the chosen token against the list of its leading tokens."""
    choice, top = step.choice, list(step.raw.top)
    place = next((at for at, (token, _) in enumerate(top) if token == step.token_id), None)
    if place is None:
        return
    logprob = top[place][1]
    known = choice.raw_logprob
    if known is not None and math.isfinite(known) and abs(known - logprob) > _CLOSE * max(1.0, abs(logprob)):
        yield f"the raw_logprob is {known:g}, the leading tokens say {logprob:g}"
    falling = all(one[1] >= other[1] for one, other in pairwise(top[: place + 1]))
    if choice.rank is not None and falling and not 0 <= choice.rank <= place:
        yield f"the rank is {choice.rank}, the token is number {place} of the leading ones"
