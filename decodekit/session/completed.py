"""The results of a run one by one, each with the steps of its own sequence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing

from decodekit.session.blocking import stream
from decodekit.session.result import Result
from decodekit.session.roster import Outcome
from decodekit.session.run import Run
from decodekit.trace.step import Step

__all__ = ["Completed", "as_completed"]


class Completed:
    """Collects the recorded steps of a run until their sequence has ended.

    Args:
        run: the run, of which each step is given to `take`.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._steps: dict[int, list[Step]] = defaultdict(list)

    def take(self, step: Step) -> Iterator[Result]:
        """The results of the sequences that have ended by now: with this step, or with an error before it."""
        if self._run.options.level != "none":
            self._steps[step.stream].append(step)
        outcome = self._run.roster.completed(step.stream)
        found = [] if outcome is None else [outcome]
        for outcome in [*self._run.roster.unseen(), *found]:
            yield self._with_steps(outcome)

    def rest(self, results: Sequence[Result]) -> Iterator[Result]:
        """Those of the results of the whole run that were not given yet."""
        roster = self._run.roster
        for result in results:
            if not roster.handed_out(result.stream):
                yield self._with_steps(roster.outcome(result.stream, len(result.token_ids)))

    def _with_steps(self, outcome: Outcome) -> Result:
        return self._run.result_of(outcome, self._steps.pop(outcome.stream, []))


def as_completed(run: Run) -> Iterator[Result]:
    """Drive a run, in blocking code: its results as they come."""
    completed = Completed(run)
    with closing(stream(run, keep=False)) as steps:
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                yield from completed.rest(end.value)
                return
            yield from completed.take(step)
