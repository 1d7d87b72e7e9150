"""The attempt of each step's noise (RNG.md): how often its sequence has gone back before.

The attempt must be checked, because a free choice of it could produce any token. In a run without a ban it is always 0.
With a ban it is the number of branches that were taken back before the step, and each of them is in the record.
"""

from __future__ import annotations

from collections import Counter

from decodekit.trace.facts import sampler_of
from decodekit.trace.header import Header
from decodekit.trace.step import Step
from decodekit.trace.verdict import Finding

__all__ = ["MOST_REWINDS", "Attempts"]

MOST_REWINDS = 1000  # a sequence that goes back so often before one token ends in an error


class Attempts:
    """Follows the steps of a trace, in order.

    Args:
        header: has the banned phrases.
    """

    def __init__(self, header: Header) -> None:
        self._phrases = header.stop.get("ban") or ()
        self._always_drawn = sampler_of(header) in ("multinomial", "inverse_cdf")
        self._count: Counter[int] = Counter()

    def reached(self, stream: int) -> int:
        """The attempt of a sequence after the steps so far."""
        return self._count[stream]

    def of(self, step: Step) -> int:
        """The attempt of this step's noise.

        Raises:
            Finding: the step's draw is of another attempt, or its abandoned branches do not fit the run.
        """
        before = self._count[step.stream]
        attempt = before + len(step.abandoned)
        self._count[step.stream] = attempt
        if len(step.abandoned) >= MOST_REWINDS:
            raise Finding(
                "failed",
                f"{len(step.abandoned)} branches before step {step.index}: a run ends before there are so many",
            )
        for at, branch in enumerate(step.abandoned, before):
            if branch.why not in self._phrases:
                raise Finding("failed", f"a branch before step {step.index} was taken back without a banned phrase")
            # This is the attempt of the branch's last draw; a sampler of a plugin may have drawn nothing.
            fits = branch.attempt == at if self._always_drawn else 0 <= branch.attempt <= at
            if not fits or not branch.token_ids:
                raise Finding("failed", f"branch {at} of stream {step.stream} cannot be of attempt {branch.attempt}")
        if step.draw is not None and step.draw.attempt != attempt:
            raise Finding(
                "failed",
                f"the draw of step {step.index} is of attempt {step.draw.attempt}, but the branches taken back before "
                f"it number {attempt}",
            )
        return attempt
