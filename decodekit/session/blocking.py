"""Runs in blocking code."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Sequence
from typing import TypeVar, cast

from decodekit.log import OfRuns, RunLog
from decodekit.model.adapter import Adapter, Answer
from decodekit.model.ahead import Ahead
from decodekit.model.asking import ask, connect
from decodekit.model.drawn import Taken, close_drawing, draw
from decodekit.session.driving import Begin, Work, drive
from decodekit.session.options import GenerationOptions
from decodekit.session.prompts import Prompt
from decodekit.session.question import Question
from decodekit.session.result import Result
from decodekit.session.run import Run
from decodekit.session.settings import Settings
from decodekit.trace.step import Step
from decodekit.trace.trace import Trace

__all__ = ["answered", "begun", "finish", "stream"]

Value = TypeVar("Value")


def begun(
    settings: Settings,
    prompts: Iterable[Prompt],
    streams: Sequence[int] | None,
    options: GenerationOptions,
    past: Trace | None = None,
) -> Run:
    """A new run: its deadline counts from now, and its adapter is connected. The arguments are those of `Run`."""
    ends_at = None if options.deadline is None else time.monotonic() + options.deadline
    connect(cast(Adapter, settings.adapter), until=ends_at)
    return Run(settings, prompts, streams, options, ends_at, past)


def answered(
    adapter: Adapter,
    questions: Generator[Question, Sequence[Answer], Value],
    log: RunLog,
    *,
    priority: int = 0,
    until: float | None = None,
) -> Value:
    """Ask an adapter these questions, for the run of this log. Returns what the generator returns.

    ``until`` is the deadline, on the clock of ``time.monotonic``; `OutOfTime` is thrown into the generator then.
    """
    try:
        question = next(questions)
        while True:
            try:
                prefixes, needs, _, tokens, _ = question
                with OfRuns((log,)):
                    answers = ask(adapter, prefixes, needs, until=until, priority=priority, tokens=tokens)
            except BaseException as error:
                question = questions.throw(error)
            else:
                question = questions.send(answers)
    except StopIteration as end:
        value: Value = end.value
        return value


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
    """The steps of a run as they are made, each recorded before it is returned; see `drive`."""
    adapter, priority = cast(Adapter, run.settings.adapter), run.options.priority  # a `Session` has no other
    events = drive(run, keep=keep)
    answers: Sequence[Taken] = ()
    error: BaseException | None = None
    begun: Ahead | None = None
    try:
        event = next(events)
        while True:
            try:
                if isinstance(event, Step):
                    yield event
                elif isinstance(event, Work):
                    with OfRuns((run.log,)):
                        event.run()
                elif isinstance(event, Begin):
                    prefixes, needs, _, _, caller = event.question
                    with OfRuns((run.log,)):
                        begun = Ahead(adapter, prefixes, needs, run.ends_at, priority, caller)
                    begun.begin()
                elif begun is not None:
                    answers = begun.answers()
                    begun = None
                elif run.drawing is not None:
                    with OfRuns((run.log,)):
                        answers = draw(adapter, run.drawing, event.prefixes, run.ends_at)
                else:
                    with OfRuns((run.log,)):
                        answers = ask(
                            adapter,
                            event.prefixes,
                            event.needs,
                            until=run.ends_at,
                            priority=priority,
                            tokens=event.tokens,
                            caller=event.caller,
                        )
            except BaseException as raised:
                error = raised
                if begun is not None:
                    begun.give_up()
                    begun = None
            event = events.send(answers) if error is None else events.throw(error)
            error = None
    except StopIteration as end:
        results: list[Result] = end.value
        return results
    finally:
        try:
            events.close()
        finally:
            close_drawing(adapter, run.drawing)
            if begun is not None:
                begun.give_up()
