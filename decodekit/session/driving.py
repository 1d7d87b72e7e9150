"""How a run is driven: its questions, and its steps once they are recorded. No adapter is called here.

`drive` is a generator of events. A driver answers a `Question` by ``send``, or with ``throw`` if it failed, returns a
`Step` to its caller, and runs `Work`. After a `Begin` it has the question answered while it takes the steps that
come first. See `decodekit.session.blocking` and `decodekit.session.awaiting`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from decodekit.errors import DecodekitError, DistributionError
from decodekit.model.admission import admit
from decodekit.model.drawn import Taken
from decodekit.model.loops import OutOfTime
from decodekit.session.decided import Decided
from decodekit.session.portions import has_company, portions
from decodekit.session.question import Question
from decodekit.session.recording import Recorder
from decodekit.session.result import Result
from decodekit.session.run import Run
from decodekit.session.sequence import RunSequence
from decodekit.trace.step import Step

__all__ = ["Begin", "Events", "Work", "drive", "only_result"]

_MOST_NAMED = 16  # streams in an event of the log


class Work(NamedTuple):
    """Something to run before the next question.

    Args:
        run: the function.
        quick: whether an event loop may wait for it.
    """

    run: Callable[[], None]
    quick: bool


class Begin(NamedTuple):
    """The next question, which is to be asked now: the steps that come before it in the events do not change it.

    Args:
        question: it comes again, as an event of its own, when its answers are needed.
    """

    question: Question


Events = Generator[Question | Begin | Step | Work, Sequence[Taken], list[Result]]


def drive(run: Run, *, keep: bool) -> Events:
    """The questions of a run, and each step once it is recorded; then one result per sequence.

    Args:
        run: the run.
        keep: whether the results' trace has the steps.

    Raises:
        Overloaded: too many callers wait for the adapter; nothing was begun.
        DecodekitError: with what was generated in ``partial``. In a run of several sequences, a failing sequence does
            not end the others.
    """
    admit(run.settings.adapter, run.options.max_waiting)
    log, streams = run.log, [stream for stream, _ in run.header.sequences[:_MOST_NAMED]]
    recorder = Recorder(run.header, run.options.trace, keep=keep and run.options.level != "none")
    log.debug("generation started", streams=streams, sequences=run.total, seed=run.seed, trace_level=run.options.level)
    try:
        yield from _recorded(run, recorder)
    except BaseException as error:
        run.broken_off(error, recorder.counts)
        _close(run, recorder, error)
        _give_partial(error, run, recorder)
        raise
    else:
        try:
            _close(run, recorder, None)
        except BaseException as error:
            _give_partial(error, run, recorder)
            raise
    finally:
        tokens = recorder.counts.total() + recorder.forgotten
        log.debug("generation finished", streams=streams, tokens=tokens, reasons=run.roster.reasons())
    return run.results(recorder.steps, recorder.footer, recorder.counts)


def only_result(results: list[Result]) -> Result:
    """The result of a run of one sequence. Raises the error that ended it."""
    (result,) = results
    if result.error is not None:
        result.error.partial = result
        raise result.error
    return result


def _recorded(run: Run, recorder: Recorder) -> Generator[Question | Begin | Step | Work, Sequence[Taken], None]:
    def confirmed(steps: Iterable[Step]) -> Generator[Step, Sequence[Taken], None]:
        for step in steps:
            recorder.record(step)
            run.confirm(step, recorder.counts[step.stream])
            yield step

    yield from confirmed(run.recalled())
    recorder.resumed(run.resumed)
    decided: list[tuple[RunSequence, Decided]] = []
    while True:
        if run.reads:
            yield from confirmed(run.settled(decided))
            decided = []
            yield Work(run.start, quick=False)
            recorder.forget(run.forgotten())
        question = run.question()
        if question is None:
            break
        begun = bool(decided) and not question.entering
        if begun:
            yield Begin(question)
        yield from confirmed(run.settled(decided))
        decided = []
        run.report()
        if not begun:
            run.note_cached(asked=False)
            question = question._replace(tokens=(yield from _portions(run, question)))
            if run.ends_at is not None and time.monotonic() >= run.ends_at:
                continue  # `question` ends the run at the deadline
        if run.guesses is not None:
            if run.guesses.on:
                yield Work(run.guess, run.guesses.quick)
            else:
                run.guesses.drop()
            question = run.guessed(question)
        started = time.perf_counter()
        try:
            answers = yield question
        except OutOfTime:
            continue
        except DecodekitError as error:
            if run.guesses is not None and run.guesses.failed():
                continue  # asked again without the guess
            if isinstance(error, DistributionError):
                raise run.at_its_step(error) from error
            raise
        waited = time.perf_counter() - started
        run.note_cached(asked=True)
        if run.settles_later:
            decided = run.decide(answers, waited)
        else:
            yield from confirmed(run.take(answers, waited))
    yield from confirmed(run.settled(decided))
    yield from confirmed(run.rest())
    run.finished()


def _portions(run: Run, question: Question) -> Generator[Question, Sequence[Taken], int]:
    """Questions that fill the adapter's cache with the prompts of sequences that start now.

    Returns:
        How many tokens of them are left to evaluate, at most.
    """
    prompts, adapter = dict.fromkeys(question.entering), run.settings.adapter
    if run.ends_at is None and len(prompts) > 1 and not has_company(adapter):  # one batch for the model
        return sum(map(len, prompts))
    left = 0
    for prefix in prompts:
        left += yield from portions(adapter, prefix, run.ends_at)
    return left


def _close(run: Run, recorder: Recorder, error: BaseException | None) -> None:
    recorder.close(run.ends(error, recorder.counts), error)


def _give_partial(error: BaseException, run: Run, recorder: Recorder) -> None:
    """Keep what was generated in an error."""
    if isinstance(error, GeneratorExit):
        return
    results = run.results(recorder.steps, recorder.footer, recorder.counts)
    with suppress(Exception):  # an error of the caller's own, which may take no attribute
        error.partial = results[0] if run.total == 1 else results  # type: ignore[attr-defined]
