"""The steps of a call in blocking code, as they are made."""

from __future__ import annotations

import atexit
from collections.abc import Generator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self
from weakref import WeakSet

from decodekit.model.pickling import OfOneProcess
from decodekit.session.driving import only_result
from decodekit.session.result import Result
from decodekit.session.run import Run
from decodekit.trace.step import Step

__all__ = ["Steps"]


class Steps(OfOneProcess, Generator[Step, None, Result]):
    """An iterator of steps, and a context manager that ends the run when it is left.

    Attributes:
        result: the result, once the run has ended: after the last step, or after `close`; None before. The session does
            not keep the steps, so its trace has none.
    """

    def __init__(self, run: Run, steps: Generator[Step, None, list[Result]]) -> None:
        self._run, self._steps = run, steps
        self.result: Result | None = None
        _open.add(self)

    def __next__(self) -> Step:
        return self._taken(lambda: next(self._steps))

    def send(self, value: None) -> Step:
        """As ``next``."""
        return next(self)

    def throw(self, kind: Any, value: Any = None, traceback: TracebackType | None = None) -> Step:
        """Raise an error where the run stands: it ends with it, as with an error of ``until``."""
        return self._taken(lambda: self._steps.throw(kind if value is None else value))

    def close(self) -> None:
        """End the run as 'cancelled', unless it has ended; its trace file is complete."""
        self._steps.close()
        if self.result is None:
            self.result = self._run.outcome()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _taken(self, step: Any) -> Step:
        try:
            taken: Step = step()
        except StopIteration as end:
            if end.value is not None:  # the first time
                self.result = only_result(end.value)
            raise StopIteration(self.result) from None
        return taken


_open: WeakSet[Steps] = WeakSet()


def _close_all() -> None:
    """At the end of the process, while threads can still begin and modules are there."""
    for steps in list(_open):
        with suppress(Exception):
            steps.close()


atexit.register(_close_all)
