"""Comparing recomputed values with recorded ones: exactly, and floats to 1e-9."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

from decodekit.distribution import AMBIGUITY
from decodekit.draw.choice import Choice
from decodekit.draw.randomness import TOKENS, BoundRandomness
from decodekit.trace.step import Step
from decodekit.trace.verdict import Finding

__all__ = ["agree", "check_choice", "first_difference", "is_close"]

_TOLERANCE = 1e-9  # relative above 1; another order of a sum changes it by less


def agree(recorded: float | None, again: float | None) -> bool:
    """Whether two numbers are equal up to rounding. None agrees with None only."""
    if recorded is None or again is None:
        return recorded is again
    return recorded == again or abs(recorded - again) <= _TOLERANCE * max(1.0, abs(again))


def is_close(again: Choice) -> bool:
    """Whether rounding could have changed a choice. The recorded margin is not used."""
    return again.margin < AMBIGUITY


def check_choice(step: Step, again: Choice, noise: BoundRandomness) -> None:
    """Compare the recorded choice with the recomputed one.

    In a close choice the runner-up may have won instead: the same choice with the two tokens exchanged.

    Raises:
        Finding: the first thing that differs.
    """
    recorded = step.choice
    if is_close(again) and step.token_id == again.runner_up:
        again = _exchanged(step, again, noise)
    if again.token_id != step.token_id:
        raise Finding(
            "failed", f"the recorded scores and noise choose token {again.token_id}, the record {step.token_id}"
        )
    for name in ("score", "margin", "logprob"):
        one, other = getattr(recorded, name), getattr(again, name)
        if not agree(one, other):
            raise Finding("failed", f"the {name} of step {step.index} is {other!r}, the record says {one!r}")
    if again.runner_up != recorded.runner_up:
        raise Finding(
            "failed", f"the runner-up of step {step.index} is {again.runner_up}, the record says {recorded.runner_up}"
        )
    if (again.draw is None) != (step.draw is None):
        raise Finding("failed", f"step {step.index} records {'no draw' if step.draw is None else 'a draw'}")
    if again.draw is not None and again.draw != step.draw:
        raise Finding("failed", f"step {step.index} draws {again.draw}, the record says {step.draw}")


def _exchanged(step: Step, again: Choice, noise: BoundRandomness) -> Choice:
    """A close choice with winner and runner-up exchanged, as rounding may have decided."""
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
        return step.choice.logprob  # the normaliser was not recorded
    return logprob + float(scores[ids == step.token_id][0]) - float(scores[ids == winner][0])


def first_difference(recorded: Any, again: Any, where: str) -> str | None:
    """The first place where two records differ, as a path with both values; None if they agree."""
    if recorded == again:
        return None
    if is_dataclass(recorded) and type(recorded) is type(again):
        names = [field.name for field in fields(recorded)]
        pairs = [(getattr(recorded, name), getattr(again, name), f"{where}.{name}") for name in names]
    elif isinstance(recorded, tuple) and isinstance(again, tuple) and len(recorded) == len(again):
        pairs = [(one, other, f"{where}[{i}]") for i, (one, other) in enumerate(zip(recorded, again, strict=True))]
    else:
        numbers = isinstance(recorded, float | int) and isinstance(again, float | int)
        if numbers and float in (type(recorded), type(again)) and agree(recorded, again):
            return None
        return f"{where} is {again!r}, the record says {recorded!r}"
    found = (first_difference(*pair) for pair in pairs)
    return next((difference for difference in found if difference is not None), None)
