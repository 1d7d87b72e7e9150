"""What only some steps have: branches that were taken back, further questions, a tail that was given up."""

from __future__ import annotations

from typing import Any

from decodekit.text.counted import counted
from decodekit.text.labels import quoted
from decodekit.text.safe_text import safe_text
from decodekit.trace.named_texts import DRAWN_BY
from decodekit.trace.step import Step
from decodekit.view.impossible import impossible_of

__all__ = ["remarks_of"]


def remarks_of(step: Step) -> dict[str, Any]:
    """The remarks on a step as data, with texts that are safe to show; {} for most."""
    said: dict[str, Any] = {}
    if step.abandoned:
        said["abandoned"] = [
            {"why": quoted(branch.why), "attempt": branch.attempt, "token_ids": list(branch.token_ids)}
            for branch in step.abandoned
        ]
    wrong = impossible_of(step)
    if wrong:
        said["impossible"] = [safe_text(each) for each in wrong]
    notes = _notes(step)
    if notes:
        said["notes"] = [safe_text(note) for note in notes]
    return said


def _notes(step: Step) -> list[str]:
    notes = [f"the model was asked again for {why}" for why, _ in step.asked]
    if step.raw.tail is not None:
        low, high = f"{step.raw.tail.mass_low:.3%}", f"{step.raw.tail.mass_high:.3%}"
        mass = low if low == high else f"{low} to {high}"
        few = counted(step.raw.disclosed, "token")
        notes.append(f"the model showed {few}; the others have {mass} of the mass together")
    schedule = step.schedule or {}
    if DRAWN_BY in schedule:
        notes.append("the provider drew this token with random numbers of its own")
    computed = ", ".join(f"{key} {value}" for key, value in schedule.items() if key not in ("tokens", DRAWN_BY))
    return [*notes, f"schedule: {computed}"] if computed else notes
