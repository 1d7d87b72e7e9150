"""Runs in tasks of an event loop."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Sequence
from typing import TypeVar, cast

from decodekit.log import OfRuns, RunLog
from decodekit.model.adapter import Adapter, Answer, AsyncAdapter
from decodekit.model.ahead import AheadInTask
from decodekit.model.asking_from_task import ask_from_task, connect_from_task
from decodekit.model.drawn import Taken, close_drawing_from_task, draw_from_task
from decodekit.model.loops import running
from decodekit.session.driving import Begin, Work, drive
from decodekit.session.options import GenerationOptions
from decodekit.session.prompts import Prompt
from decodekit.session.question import Question
from decodekit.session.result import Result
from decodekit.session.run import Run
from decodekit.session.settings import Settings
from decodekit.trace.step import Step

__all__ = ["answered_in_task", "begun_in_task", "stream_in_task"]

Value = TypeVar("Value")


async def begun_in_task(
    settings: Settings, prompts: Iterable[Prompt], streams: Sequence[int] | None, options: GenerationOptions
) -> Run:
    """A new run: its deadline counts from now, and its adapter is connected. The arguments are those of `Run`.

    Prompts are tokenised in a worker thread: it takes a while for long ones, and a server's tokenizer waits for it.
    """
    ends_at = None if options.deadline is None else time.monotonic() + options.deadline
    await connect_from_task(settings.adapter, ends_at)
    return await running().in_thread(lambda: Run(settings, prompts, streams, options, ends_at))


async def answered_in_task(
    adapter: Adapter | AsyncAdapter,
    questions: Generator[Question, Sequence[Answer], Value],
    log: RunLog,
    *,
    priority: int = 0,
    until: float | None = None,
    in_thread: bool = False,
) -> Value:
    """Ask an adapter these questions, for the run of this log. Returns what the generator returns.

    Args:
        adapter: whom to ask.
        questions: as for `decodekit.session.blocking.answered`.
        log: of the run.
        priority: among those who wait for the adapter.
        until: the deadline, on the clock of ``time.monotonic``; `OutOfTime` is thrown into the generator then.
        in_thread: the generator may take long from an answer to its next question: it goes on in worker threads, also
            where the task is cancelled, up to that question.
    """
    asked = await _next(lambda: next(questions), in_thread)
    while not isinstance(asked, StopIteration):
        try:
            prefixes, needs, _, tokens, _ = asked
            with OfRuns((log,)):
                answers = await ask_from_task(adapter, prefixes, needs, until=until, priority=priority, tokens=tokens)
        except BaseException as error:
            raised = error  # the name of an except clause ends with it
            asked = await _next(lambda: questions.throw(raised), in_thread=False)  # noqa: B023 - called at once
        else:
            asked = await _next(lambda: questions.send(answers), in_thread)  # noqa: B023 - called at once
    value: Value = asked.value
    return value


async def _next(step: Callable[[], Question], in_thread: bool) -> Question | StopIteration:
    """The next question, or the end of them, which cannot pass through a future as an error."""
    found: list[Question | StopIteration] = []

    def find() -> None:
        try:
            found.append(step())
        except StopIteration as end:
            found.append(end)

    if in_thread:
        loop = running()
        await loop.to_the_end(lambda: loop.in_thread(find))
    else:
        find()
    return found[0]


async def stream_in_task(run: Run, results: list[Result], *, keep: bool) -> AsyncGenerator[Step, None]:
    """The steps of a run as they are made, each recorded before it is returned; see `drive`.

    A cancelled task ends the run as 'cancelled'.

    Args:
        run: the run.
        results: gets one result per sequence at the end.
        keep: whether the results' trace has the steps.
    """
    adapter, priority = run.settings.adapter, run.options.priority
    events = drive(run, keep=keep)
    answers: Sequence[Taken] = ()
    error: BaseException | None = None
    begun: AheadInTask | None = None
    try:
        event = next(events)
        while True:
            try:
                if isinstance(event, Step):
                    yield event
                elif isinstance(event, Work):
                    with OfRuns((run.log,)):
                        if event.quick:
                            event.run()
                        else:
                            await running().in_thread(event.run)
                elif isinstance(event, Begin):
                    prefixes, needs, _, _, caller = event.question
                    with OfRuns((run.log,)):
                        asked = cast(Adapter, adapter)
                        begun = AheadInTask(asked, prefixes, needs, run.ends_at, priority, caller=caller)
                    await begun.begin()
                elif begun is not None:
                    answers = await begun.answers()
                    begun = None
                elif run.drawing is not None:
                    with OfRuns((run.log,)):
                        answers = await draw_from_task(adapter, run.drawing, event.prefixes, run.ends_at)
                else:
                    with OfRuns((run.log,)):
                        answers = await ask_from_task(
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
        results += end.value
    finally:
        try:
            events.close()
        finally:
            if begun is not None:
                begun.give_up()
            await close_drawing_from_task(adapter, run.drawing)
