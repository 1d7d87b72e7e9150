"""``decodekit generate --prompts``: many prompts at the same time, each result written when it is whole."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from decodekit.cli.bar import Bar
from decodekit.cli.output import say
from decodekit.cli.prompt_lines import Item, PromptFile
from decodekit.cli.results_file import ResultsFile
from decodekit.draw.randomness import Randomness
from decodekit.errors import DecodekitError, message_of
from decodekit.model.asking_from_task import connect_from_task
from decodekit.session import AsyncSession, Result
from decodekit.session.opening import check_options
from decodekit.session.options import GenerationOptions
from decodekit.session.result_key import session_facts
from decodekit.session.row_file import RowFile

__all__ = ["generate_prompts"]

_MOST_AT_ONCE = 256


def generate_prompts(resolved: dict[str, Any], prompts: PromptFile, out: ResultsFile) -> int:
    """Generate what is not done yet, and return the exit code.

    Raises:
        DecodekitError: nothing can be generated, or a result cannot be written.
    """
    return asyncio.run(_main(resolved, prompts, out))


async def _main(resolved: dict[str, Any], prompts: PromptFile, out: ResultsFile) -> int:
    session = AsyncSession.from_config(resolved)
    async with session:
        await connect_from_task(session.adapter)
        check_options(session.settings, GenerationOptions.of(prompts.call, {"max_tokens": 1}), listed=True)  # type: ignore[arg-type]
        seed = Randomness(session.seed if session.seed is not None else out.seed).seed
        settings = session_facts(session)
        if out.done:
            out.require_known({item.key for item in prompts.items(settings, seed, session.chain)})
        with out.open() as results, Bar("prompts", prompts.lines * prompts.samples, len(out.done)) as bar:
            items = (item for item in prompts.items(settings, seed, session.chain) if item.key not in out.done)
            run = _Run(session, seed, results, bar)
            interrupted = await run.all(items)
    if run.failed:
        say(f"{run.failed} of {prompts.lines * prompts.samples} results failed; the same call tries them again")
        say(f"the first error: {run.first_error}")
    return 130 if interrupted else 1 if run.failed else 0


class _Run:
    def __init__(self, session: AsyncSession, seed: int, results: RowFile, bar: Bar) -> None:
        self.failed = 0
        self.first_error = ""
        self._session, self._seed, self._results, self._bar = session, seed, results, bar

    async def all(self, items: Iterator[Item]) -> bool:
        """Generate all items, as many at a time as the adapter serves well. Returns whether it was interrupted."""
        loop, interrupted = asyncio.get_running_loop(), False
        at_once = min(max(self._session.adapter.info.concurrency, 1), _MOST_AT_ONCE)
        tasks = [asyncio.create_task(self._some(items)) for _ in range(at_once)]

        def interrupt() -> None:
            nonlocal interrupted
            interrupted = True
            loop.remove_signal_handler(signal.SIGINT)  # the second one does not wait
            for task in tasks:
                task.cancel()

        with suppress(NotImplementedError, RuntimeError):  # not on Windows, nor in another thread
            loop.add_signal_handler(signal.SIGINT, interrupt)
        try:
            await asyncio.gather(*tasks)
        except asyncio.CancelledError:
            if not interrupted:
                raise
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            loop.remove_signal_handler(signal.SIGINT)
        return interrupted

    async def _some(self, items: Iterator[Item]) -> None:
        for item in items:
            self._write(item, await self._generated(item))

    async def _generated(self, item: Item) -> Result | DecodekitError:
        try:
            return await self._session.generate(item.asked, **item.call, level="none")
        except DecodekitError as error:
            return error

    def _write(self, item: Item, outcome: Result | DecodekitError) -> None:
        error = outcome if isinstance(outcome, DecodekitError) else None
        result = outcome if error is None else error.partial
        row: dict[str, Any] = {} if item.label is None else {"id": item.label}
        row["prompt"] = item.prompt
        if isinstance(result, Result):
            row |= {"text": result.text, "token_ids": result.token_ids, "finish_reason": result.finish_reason}
            if result.tool_calls:
                row["tool_calls"] = [call.to_dict() for call in result.tool_calls]
        if error is not None:
            row |= {"finish_reason": "error", "error": message_of(error)}
        row |= {"seed": item.call["seed"], "stream": item.call["stream"], "run_seed": self._seed, "key": item.key}
        self._results.write(row)
        if error is not None:
            self.first_error = self.first_error or message_of(error)
            self.failed += 1
        self._bar.step(len(result.token_ids) if isinstance(result, Result) else 0, failed=self.failed)
