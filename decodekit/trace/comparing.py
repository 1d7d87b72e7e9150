"""Whether what is computed again agrees with what is recorded: exactly, and floats to 1e-9."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

from decodekit.distribution import AMBIGUITY
from decodekit.draw.choice import Choice
from decodekit.draw.randomness import TOKENS, BoundRandomness
from decodekit.trace.step import Step
from decodekit.trace.verdict import Finding

__all__ = ["agree", "check_choice", "first_difference", "is_close"]

_TOLERANCE = 1e-9  # relative above 1; the order of a sum moves less


def agree(said: float | None, again: float | None) -> bool:
    """Whether two numbers are one but for rounding. None agrees with None only."""
    if said is None or again is None:
        return said is again
    return said == again or abs(said - again) <= _TOLERANCE * max(1.0, abs(again))


def is_close(again: Choice) -> bool:
    """Whether rounding could have turned a choice. The recorded margin has no say in it."""
    return again.margin < AMBIGUITY


def check_choice(step: Step, again: Choice, noise: BoundRandomness) -> None:
    """Compare the recorded choice with the one made again.

    Where that is close, its runner-up may have won instead: the same choice with the two tokens exchanged.

    Raises:
        Finding: the first thing that differs.
    """
    said = step.choice
    if is_close(again) and step.token_id == again.runner_up:
        again = _exchanged(step, again, noise)
    if again.token_id != step.token_id:
        raise Finding(
            "failed", f"the recorded scores and noise choose token {again.token_id}, the record {step.token_id}"
        )
    for name in ("score", "margin", "logprob"):
        one, other = getattr(said, name), getattr(again, name)
        if not agree(one, other):
            raise Finding("failed", f"the {name} of step {step.index} is {other!r}, the record says {one!r}")
    if again.runner_up != said.runner_up:
        raise Finding(
            "failed", f"the runner-up of step {step.index} is {again.runner_up}, the record says {said.runner_up}"
        )
    if (again.draw is None) != (step.draw is None):
        raise Finding("failed", f"step {step.index} records {'no draw' if step.draw is None else 'a draw'}")
    if again.draw is not None and again.draw != step.draw:
        raise Finding("failed", f"step {step.index} draws {again.draw}, the record says {step.draw}")


def _exchanged(step: Step, again: Choice, noise: BoundRandomness) -> Choice:
    """A close choice as it is recorded where rounding went the other way."""
    token, draw, logprob = step.token_id, again.draw, again.logprob
    if draw is not None and draw.domain == TOKENS:
        draw = replace(draw, lane=token, word=int(noise.words([token])[0]))
    if logprob is not None:
        logprob = _moved(step, again.token_id, logprob)
    return replace(again, token_id=token, runner_up=again.token_id, logprob=logprob, draw=draw)


def _moved(step: Step, winner: int, logprob: float) -> float | None:
    """The log-probability of the step's token, from that of the winner and the recorded final scores."""
    assert step.evidence is not None
    ids, scores = step.evidence.token_ids, step.evidence.scores
    if step.evidence.floor is not None:
        return step.choice.logprob  # the normaliser is not in the record
    return logprob + float(scores[ids == step.token_id][0]) - float(scores[ids == winner][0])


def first_difference(said: Any, again: Any, where: str) -> str | None:
    """The first place where two records differ, as a path with both values; None where they agree."""
    if said == again:
        return None
    if is_dataclass(said) and type(said) is type(again):
        names = [field.name for field in fields(said)]
        pairs = [(getattr(said, name), getattr(again, name), f"{where}.{name}") for name in names]
    elif isinstance(said, tuple) and isinstance(again, tuple) and len(said) == len(again):
        pairs = [(one, other, f"{where}[{i}]") for i, (one, other) in enumerate(zip(said, again, strict=True))]
    else:
        numbers = isinstance(said, float | int) and isinstance(again, float | int)
        if numbers and float in (type(said), type(again)) and agree(said, again):
            return None
        return f"{where} is {again!r}, the record says {said!r}"
    found = (first_difference(*pair) for pair in pairs)
    return next((difference for difference in found if difference is not None), None)
