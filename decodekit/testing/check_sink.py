"""The contract of a sink as a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from decodekit.errors import DecodekitError
from decodekit.testing.runs import RecordedRun, recorded_runs
from decodekit.trace.codec import encode_step
from decodekit.trace.fanout import Fanout
from decodekit.trace.header import Header
from decodekit.trace.sinks import sinks_of

__all__ = ["check_sink"]


def check_sink(make: Callable[[], Any]) -> int:
    """Check sinks against the contract of `decodekit.trace.sinks.Sink`.

    They get runs of every kind: all levels, several sequences, no tokens, notes of a resumption, hidden tokens; ends
    by an error and by an interrupt; a last step that another sink refused; and a run that does not begin. They must
    take each of them, twice at once where one sink serves two runs, and change nothing.

    Args:
        make: returns a sink that nothing was written to; called for each run. It may return the same one each time if
            it can serve several runs.

    Returns:
        How many runs were written.

    Raises:
        AssertionError: the sink breaks the contract; the message says how.
    """
    written = 0
    for run in recorded_runs():
        before = [encode_step(step) for step in run.steps]
        _taken(run.name, lambda run=run: _write(make(), run))  # type: ignore[misc]
        assert [encode_step(step) for step in run.steps] == before, f"it changed a step of a run with {run.name}"
        written += 1
    run = next(recorded_runs())
    _taken("a last step that another sink refused", lambda: _write_surplus(make(), run))
    _taken("a run that did not begin", lambda: _not_begun(make(), run.header))
    _taken("two runs at once", lambda: _write_two(make(), make(), run))
    return written + 3


def _taken(what: str, write: Callable[[], None]) -> None:
    try:
        write()
    except DecodekitError as error:
        raise AssertionError(f"{what}: {error}") from error


def _write(sink: Any, run: RecordedRun) -> None:
    (checked,) = sinks_of([sink])
    writer = Fanout([checked], run.header)
    for step in run.steps:
        writer.write(step)
        if step is run.steps[0]:
            for note in run.resumed:
                writer.resumed(note)
    writer.close(run.ends)


def _write_surplus(sink: Any, run: RecordedRun) -> None:
    writer = Fanout([sink], run.header)
    for step in run.steps:
        writer.write(step)
    last = run.steps[-1].stream
    writer.close([type(end)(end.stream, end.tokens - (end.stream == last), "cancelled") for end in run.ends])


def _write_two(one: Any, other: Any, run: RecordedRun) -> None:
    if one is other and one.open(run.header) is one:  # it serves one run at a time
        one.close(run.ends)
        return
    first, second = Fanout([one], run.header), Fanout([other], run.header)
    for step in run.steps:
        first.write(step)
        second.write(step)
    first.close(run.ends)
    second.close(run.ends)


class _Unopened:
    def open(self, header: Header) -> Any:
        raise _NotBegunError


class _NotBegunError(DecodekitError):
    pass


def _not_begun(sink: Any, header: Header) -> None:
    try:
        Fanout([sink, _Unopened()], header)
    except _NotBegunError:
        return
