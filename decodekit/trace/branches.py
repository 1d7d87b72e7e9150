"""The branches that were taken back before a step: could the run have written them?

The first token of each is known: it was drawn from the row of the step, with the noise of an earlier attempt. The rows
behind it were taken back too, and were not recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from decodekit.draw.choice import Choice
from decodekit.text.markup import spellings
from decodekit.text.tokenizer import Tokenizer
from decodekit.trace.comparing import is_close
from decodekit.trace.redraw import noise_of, redraw
from decodekit.trace.step import Step
from decodekit.trace.trace import Trace
from decodekit.trace.verdict import Finding

__all__ = ["Drawn", "check_branches", "check_spelling", "drawn_from_record"]

Drawn = Callable[[int], Choice | None]
"""What a step's row gives at an attempt; None where that is not known."""


def check_branches(trace: Trace, step: Step, before: int, drawn: Drawn) -> None:
    """Compare the first tokens of the branches with what the step's row gives at their attempts.

    A branch that was taken back to this place may have others before it that were taken back to a later place on the
    way; then its first token was drawn at the attempt of the first of these, and it has at least two tokens. The record
    does not say which branches are of which kind, so it is enough that one reading fits.

    Args:
        trace: says whether the model gives the same row again.
        step: the record.
        before: the attempt that the sequence had reached before.
        drawn: from the row of this step.

    Raises:
        Finding: 'failed' where the row cannot have been another, 'consistent' where the model may have answered
            otherwise the first time.
    """
    if not step.abandoned:
        return
    drawn = cache(drawn)
    begun = {0}  # where a branch may begin: at the start, and after each branch that was taken back to it
    for at, branch in enumerate(step.abandoned):
        long = len(branch.token_ids) > 1
        starts = begun if long else begun & {at}
        if any(_may_be(branch.token_ids[0], drawn(before + start)) for start in starts):
            begun.add(at + 1)
    if len(step.abandoned) not in begun:
        adapter = trace.header.adapter
        same = (
            adapter.get("deterministic")
            and not adapter.get("stochastic")
            and step.schedule is None
            and all(each.adapter == adapter for each in trace.resumed)
        )
        raise Finding(
            "failed" if same else "consistent",
            f"the branches before step {step.index} do not follow from its row and the noise of their attempts"
            + ("" if same else "; the model may have given another row the first time"),
        )


def drawn_from_record(trace: Trace, step: Step) -> Drawn:
    """Draws from the recorded final scores, where all of them were recorded and no attempt changes them."""
    processors = trace.header.chain["processors"]
    known = (
        step.evidence is not None
        and step.evidence.floor is None
        and all(part["distribution"] == "decodekit" for part in processors)  # others may not be pure
        and not any(entry.tosses or entry.gave_up for entry in step.entries)
    )

    def drawn(attempt: int) -> Choice | None:
        try:
            return redraw(trace, step, noise_of(trace, step, attempt)) if known else None
        except Finding:
            return None

    return drawn


def check_spelling(step: Step, tokenizer: Tokenizer) -> None:
    """Each branch spells its phrase, from its first token to its last.

    Raises:
        Finding: one does not.
    """
    if hasattr(tokenizer, "relearn"):
        return  # it made its ids up, and those of abandoned tokens were not recorded
    for branch in step.abandoned:
        for spelling, wanted in spellings(tokenizer, [branch.why]):
            text, ends = spelling.all(branch.token_ids)
            last = ends[-2] if len(ends) > 1 else 0
            places = [(text.find(form), len(form)) for _, form in wanted]
            if any(0 <= start < ends[0] and start + size > last for start, size in places):
                break
        else:
            raise Finding("failed", f"a branch before step {step.index} does not spell {branch.why!r}")


def _may_be(token_id: int, again: Choice | None) -> bool:
    return again is None or token_id == again.token_id or (is_close(again) and token_id == again.runner_up)
