"""The results of a run one by one, each with the steps of its own sequence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from decodekit.session.result import Result
from decodekit.session.run import Run
from decodekit.trace.step import Step

__all__ = ["Completed"]


class Completed:
    """Collects the recorded steps of a run until their sequence has ended.

    Args:
        run: the run, of which each step is given to `take`.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._steps: dict[int, list[Step]] = defaultdict(list)
        self._taken: set[int] = set()

    def take(self, step: Step) -> Result | None:
        """The result that this step completes; None while its sequence continues."""
        steps = self._steps[step.stream]
        steps.append(step)
        result = self._run.ended(step.stream, len(steps))
        return None if result is None else self._with_steps(result)

    def rest(self, results: Sequence[Result]) -> Iterator[Result]:
        """Those of the results of the whole run that no step completed: of sequences that failed or were cut off."""
        for result in results:
            if result.stream not in self._taken:
                yield self._with_steps(result)

    def _with_steps(self, result: Result) -> Result:
        self._taken.add(result.stream)
        return replace(result, trace=self._run.trace_of(result, self._steps.pop(result.stream, [])))
