"""`AsyncSession`: a session for event loops. Its calls run at the same time, each in its caller's task."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Never, Self, Unpack

from decodekit.log import RunLog
from decodekit.model.asking_from_task import close_from_task, connect_from_task
from decodekit.model.loops import running
from decodekit.model.pickling import OfOneProcess
from decodekit.session.awaiting import answered_in_task, begun_in_task, stream_in_task
from decodekit.session.base import BaseSession, known_prompts, prompts_and_streams
from decodekit.session.completed import Completed
from decodekit.session.continuation import Continuation, known_candidates, prefix_and_tokens
from decodekit.session.driving import only_result
from decodekit.session.options import GenerationKeywords, GenerationOptions, ManyKeywords
from decodekit.session.prompts import Prompt, count_tokens
from decodekit.session.result import Result
from decodekit.session.run import Run
from decodekit.session.score import By, Ranked, Score
from decodekit.session.scoring import ScoreKeywords, ranked, scores, scoring_options
from decodekit.trace.step import Step

__all__ = ["AsyncSession", "AsyncSteps"]


class AsyncSteps(OfOneProcess, AsyncIterator[Step]):
    """The steps of a call as they are made.

    Attributes:
        result: the result, once the run has ended: after the last step, or after `aclose`; None before. The session
            does not keep the steps, so its trace has none.
    """

    def __init__(self, steps: AsyncGenerator[Step, None], results: list[Result], runs: list[Run]) -> None:
        self.result: Result | None = None
        self._steps, self._results, self._runs = steps, results, runs

    async def __anext__(self) -> Step:
        try:
            return await anext(self._steps)
        except StopAsyncIteration:
            if self._results:
                self.result = only_result(self._results)
            raise

    async def aclose(self) -> None:
        """End the run as 'cancelled', unless it has ended; its trace is complete."""
        await self._steps.aclose()
        if self.result is None and self._runs:
            self.result = self._runs[0].outcome()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()


class AsyncSession(BaseSession):
    """Decodes prompts with one adapter and one chain, in tasks of an event loop: asyncio (uvloop too), or trio.

    The calls of all tasks run at the same time. A blocking adapter is asked in a worker thread, with the questions of
    several calls at once. An async one is asked in the running loop; under trio, in an asyncio loop in a thread. The
    result of a call does not depend on the others, where the adapter's answer for a prefix does not depend on the rest
    of a batch.

    The arguments are those of `Session`.
    """

    def __repr__(self) -> str:
        return f"AsyncSession({type(self.adapter).__name__}, {self.chain!r}, seed={self.seed})"

    async def aclose(self) -> None:
        """Close the adapter if this session built it. A task that is cancelled meanwhile ends when that is done."""
        loop, close_guesser = running(), self.close_guesser
        try:
            if close_guesser is not None:
                await loop.to_the_end(lambda: loop.in_thread(close_guesser))
        finally:
            if self.owns_adapter:
                await close_from_task(self.adapter)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    if not TYPE_CHECKING:  # type checkers refuse `with` themselves

        def __enter__(self) -> Never:
            raise TypeError("this session is for 'async with'; decodekit.open, or Session, is for 'with'")

        def __exit__(self, *exception: object) -> None: ...

    async def generate(self, prompt: Prompt, **options: Unpack[GenerationKeywords]) -> Result:
        """Continue one prompt; as `Session.generate`.

        Raises:
            DecodekitError: with everything generated so far in ``partial``.
            TypeError: an option that does not exist.
        """
        given, results = self.options_of(options), list[Result]()
        async for _ in self._steps([prompt], [given.stream], given, results, keep=True):
            pass
        return only_result(results)

    def stream(self, prompt: Prompt, **options: Unpack[GenerationKeywords]) -> AsyncSteps:
        """As `generate`, one `Step` at a time; as `Session.stream`. The run starts when the first step is awaited.

            async with session.stream(prompt) as steps:
                async for step in steps:
                    print(step.text, end="")
            steps.result

        Left without ``async with`` before its end, the run ends when the iterator is garbage-collected.
        """
        given, results, runs = self.options_of(options), list[Result](), list[Run]()
        return AsyncSteps(self._steps([prompt], [given.stream], given, results, keep=False, runs=runs), results, runs)

    async def generate_many(self, prompts: Iterable[Prompt], **options: Unpack[ManyKeywords]) -> list[list[Result]]:
        """Continue many prompts, ``n`` times each; as `Session.generate_many`."""
        given, results = self.options_of(options, ManyKeywords), list[Result]()
        known = known_prompts(prompts)
        _, streams = prompts_and_streams(known, given.n, given.stream)
        async for _step in self._steps(known, streams, given, results, keep=True):
            pass
        return [results[i * given.n : (i + 1) * given.n] for i in range(len(known))]

    async def as_completed(
        self, prompts: Iterable[Prompt], **options: Unpack[ManyKeywords]
    ) -> AsyncGenerator[Result, None]:
        """As `generate_many`, each result as soon as its sequence has ended; as `Session.as_completed`.

        An iterator of prompts is read in worker threads, one at a time.
        """
        given, results = self.options_of(options, ManyKeywords), list[Result]()
        known, streams = prompts_and_streams(prompts, given.n, given.stream)
        run = await begun_in_task(self.settings_of(given), known, streams, given)
        completed = Completed(run)
        async with aclosing(stream_in_task(run, results, keep=False)) as steps:
            async for step in steps:
                for result in completed.take(step):
                    yield result
        for result in completed.rest(results):
            yield result

    async def score(self, prompt: Prompt, continuation: Continuation, **options: Unpack[ScoreKeywords]) -> Score:
        """How likely a continuation of a prompt is; as `Session.score`."""
        return (await self._scores(prompt, [continuation], options, several=False))[0]

    async def rank(
        self, prompt: Prompt, candidates: Sequence[Continuation], *, by: By = "total", **options: Unpack[ScoreKeywords]
    ) -> list[Ranked]:
        """Continuations of one prompt, the most likely first; as `Session.rank`."""
        return ranked(await self._scores(prompt, known_candidates(candidates), options, several=True), by)

    async def count_tokens(self, prompt: Prompt) -> int:
        """How many tokens the model reads of a prompt; as `Session.count_tokens`."""
        await connect_from_task(self.adapter)
        return await running().in_thread(lambda: count_tokens(self.adapter, prompt))

    async def _scores(
        self, prompt: Prompt, candidates: Sequence[Continuation], options: ScoreKeywords, *, several: bool
    ) -> list[Score]:
        given = scoring_options(options, self.metadata)
        await connect_from_task(self.adapter)
        prefix, tokens = await running().in_thread(
            lambda: prefix_and_tokens(self.adapter, prompt, candidates, several=several)
        )
        log = RunLog(self.adapter.info.name)
        questions = scores(self.adapter, prefix, tokens, given, log)
        return await answered_in_task(self.adapter, questions, log, priority=given.priority)

    async def _steps(
        self,
        prompts: Iterable[Prompt],
        streams: Sequence[int] | None,
        options: GenerationOptions,
        results: list[Result],
        *,
        keep: bool,
        runs: list[Run] | None = None,
    ) -> AsyncGenerator[Step, None]:
        run = await begun_in_task(self.settings_of(options), prompts, streams, options)
        if runs is not None:
            runs.append(run)
        async with aclosing(stream_in_task(run, results, keep=keep)) as steps:
            async for step in steps:
                yield step
