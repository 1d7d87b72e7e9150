"""The blocking driver: ask the adapter, record each step, return it."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Sequence

from decodekit.errors import DecodekitError, DistributionError
from decodekit.log import get_logger
from decodekit.model.asking import ask, connect
from decodekit.model.background import OutOfTime
from decodekit.session.options import GenerationOptions
from decodekit.session.prefill import prefill
from decodekit.session.prompts import Prompt
from decodekit.session.recording import Recorder
from decodekit.session.result import Result
from decodekit.session.run import Run
from decodekit.session.settings import Settings
from decodekit.trace.header import Trace
from decodekit.trace.step import Step

__all__ = ["begun", "finish", "only_result", "stream"]


def begun(
    settings: Settings,
    prompts: Sequence[Prompt],
    streams: Sequence[int],
    options: GenerationOptions,
    past: Trace | None = None,
) -> Run:
    """A new run: its deadline counts from now, and its adapter is connected. The arguments are those of `Run`."""
    ends_at = None if options.deadline is None else time.monotonic() + options.deadline
    connect(settings.adapter, until=ends_at)
    return Run(settings, prompts, streams, options, ends_at, past)


def finish(run: Run) -> list[Result]:
    """Drive a run until its end. Returns one result per sequence."""
    steps = stream(run, keep=True)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            results: list[Result] = end.value
            return results


def stream(run: Run, *, keep: bool) -> Generator[Step, None, list[Result]]:
    """The steps of a run as they are made, each recorded before it is returned; then one result per sequence.

    Args:
        run: the run.
        keep: whether the results' trace has the steps.

    Raises:
        DecodekitError: with what was generated in ``partial``. In a run of several sequences, a failing sequence does
            not end the others.
    """
    log = get_logger()  # kept for the end: at interpreter shutdown nothing can be imported
    recorder = Recorder(run.header, run.options.trace, keep=keep)
    log.debug("generation started", sequences=len(run.sequences), seed=run.header.seed, level=run.options.level)
    try:
        yield from _recorded(run, recorder)
    except BaseException as error:
        run.broken_off(error, recorder.counts)
        _close(run, recorder, error)
        if isinstance(error, DecodekitError):
            results = run.results(recorder.steps, recorder.footer, recorder.counts)
            error.partial = results[0] if len(results) == 1 else results
        raise
    else:
        _close(run, recorder, None)
    finally:
        reasons = sorted({str(sequence.decoder.finish_reason) for sequence in run.sequences})
        log.debug("generation finished", tokens=recorder.counts.total(), reasons=reasons)
    return run.results(recorder.steps, recorder.footer, recorder.counts)


def only_result(results: list[Result]) -> Result:
    """The result of a run of one sequence. Raises the error that ended it."""
    (result,) = results
    if result.error is not None:
        result.error.partial = result
        raise result.error
    return result


def _recorded(run: Run, recorder: Recorder) -> Iterator[Step]:
    def confirmed(steps: Iterable[Step]) -> Iterator[Step]:
        for step in steps:
            recorder.record(step)
            run.confirm(step, recorder.counts[step.stream])
            yield step

    adapter = run.settings.adapter
    yield from confirmed(run.recalled())
    recorder.resumed(run.resumed)
    while (question := run.question()) is not None:
        if run.ends_at is not None:
            for prefix in question.entering:
                prefill(adapter, prefix, run.ends_at)
            if time.monotonic() >= run.ends_at:
                continue  # `question` ends the run at the deadline
        started = time.perf_counter()
        try:
            answers = ask(adapter, question.prefixes, question.needs, until=run.ends_at)
        except OutOfTime:
            continue
        except DistributionError as error:
            raise run.at_its_step(error) from error
        yield from confirmed(run.take(answers, time.perf_counter() - started))
    yield from confirmed(run.rest())


def _close(run: Run, recorder: Recorder, error: BaseException | None) -> None:
    recorder.close(run.ends(error, recorder.counts), error)
