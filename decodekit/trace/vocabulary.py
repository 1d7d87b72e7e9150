"""The ids of a step lie in the vocabulary of its run."""

from __future__ import annotations

from decodekit.trace.step import Step
from decodekit.trace.trace import Trace
from decodekit.trace.verdict import Finding

__all__ = ["check_ids"]


def check_ids(trace: Trace, step: Step) -> None:
    """Compare every id of a step with the size of the vocabulary, if that was recorded.

    Raises:
        Finding: 'failed'; an id is too large.
    """
    size, largest = trace.header.adapter.get("vocab_size"), _largest(step)
    if size is not None and largest >= size:
        raise Finding("failed", f"step {step.index} names token {largest} of a vocabulary of {size}")


def _largest(step: Step) -> int:
    ids = [step.token_id, step.choice.runner_up or 0]
    for top in (step.raw.top, *(entry.top for entry in step.entries)):
        ids += [token for token, _ in top]
    for branch in step.abandoned:
        ids += branch.token_ids
    if step.evidence is not None:
        ids.append(int(step.evidence.token_ids.max()))
    if step.row is not None and step.row[0] is not None:
        ids.append(int(step.row[0].max()))
    return max(ids)
