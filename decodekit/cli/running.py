"""One call of ``decodekit generate`` or ``resume``: run the session, and show the steps as they happen."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from decodekit.cli.explain import find_step, show_step
from decodekit.cli.interrupt import Interrupt
from decodekit.cli.output import console, put, put_json
from decodekit.cli.run_outcome import RunOutcome, Sample
from decodekit.cli.views import PipeView, SilentView, TerminalView, View
from decodekit.draw.randomness import Randomness
from decodekit.errors import DecodekitError
from decodekit.session import Prompt, Result, Session
from decodekit.text.tool_call import ToolCall
from decodekit.trace import Trace
from decodekit.trace.step import Step
from decodekit.view.story import story_of

__all__ = ["Generation"]

_PATIENCE = 2.0  # seconds that Ctrl-C waits for the next token


@dataclass(kw_only=True)
class Generation:
    """A generation with its output and its errors.

    Args:
        session: an open session.
        prompt: what to continue.
        call: keyword arguments of `Session.stream`.
        streams: the random streams of the samples.
        as_json: print one JSON object and nothing else.
        explain: the step to show at the end, or None.
        resumed: starts the generation instead of the session, to continue an earlier run.
    """

    session: Session
    prompt: Prompt
    call: dict[str, Any]
    streams: list[int]
    as_json: bool
    explain: int | None = None
    resumed: Callable[[], Generator[Step, None, list[Result]]] | None = None
    steps: list[Step] = field(default_factory=list)
    reasons: set[str] = field(default_factory=set)  # why the samples ended, once they have

    def go(self) -> int:
        """Generate, and return the exit code."""
        # The seed is drawn here rather than in the session, so that it is known even if the run is interrupted.
        self.call["seed"] = Randomness(self.session.seed).seed
        several = len(self.streams) != 1
        outcome = self._many() if several and self.resumed is None else self._stream()
        if several and not self.as_json:
            outcome.show_samples()
        self.reasons = {sample.finish_reason for sample in outcome.samples}
        explained = self._explained(outcome)
        if self.as_json:
            put_json({**outcome.data(self.call), **explained})
        else:
            outcome.show_calls()
            if sys.stderr.isatty():
                outcome.sum_up(self.call)
        if outcome.error is not None:
            raise outcome.error
        return outcome.exit_code

    def _stream(self) -> RunOutcome:
        """Show each step as it happens."""
        with (
            closing(self._begun()) as stream,
            self._view() as view,
            Interrupt(_PATIENCE) as interrupt,
        ):
            try:
                while not interrupt.asked:
                    step = next(stream)
                    self.steps.append(step)
                    view.show(step)
                stream.close()
                closed = getattr(stream, "result", None)
                return self._cut("cancelled", calls=closed.tool_calls if isinstance(closed, Result) else ())
            except KeyboardInterrupt as error:  # no step came
                partial = getattr(error, "partial", None)
                return self._cut("cancelled", calls=partial.tool_calls if isinstance(partial, Result) else ())
            except StopIteration as end:
                results: list[Result] = end.value if isinstance(end.value, list) else [end.value]
                trace = Trace(results[0].trace.header, self.steps, results[0].trace.footer)
                return RunOutcome([Sample.of(result) for result in results], trace)
            except DecodekitError as error:
                if error.partial is None:
                    raise  # it did not start
                calls = error.partial.tool_calls if isinstance(error.partial, Result) else ()
                return self._cut("error", error, calls)

    def _begun(self) -> Generator[Step, None, Result | list[Result]]:
        return self.resumed() if self.resumed is not None else self.session.stream(self.prompt, **self.call)

    def _many(self) -> RunOutcome:
        """Several samples at once, shown when all are there."""

        def watch(step: Step) -> bool:
            self.steps.append(step)
            if interrupt.asked:  # raised here, the session records this step first and ends the run as cancelled
                raise KeyboardInterrupt
            return False

        try:
            with Interrupt(_PATIENCE) as interrupt:
                n = len(self.streams)
                results = self.session.generate_many([self.prompt], n=n, until=watch, **self.call)[0]
            return RunOutcome([Sample.of(result) for result in results], results[0].trace)
        except KeyboardInterrupt:
            return self._cut("cancelled")

    def _cut(self, reason: str, error: DecodekitError | None = None, calls: tuple[ToolCall, ...] = ()) -> RunOutcome:
        message = None if error is None else str(error)
        samples = [Sample.cut(self.steps, reason, stream, message, calls) for stream in self.streams]
        return RunOutcome(samples, error=error)

    def _view(self) -> View:
        if self.as_json or len(self.streams) > 1:
            return SilentView()
        if not sys.stdout.isatty():
            return PipeView()
        terminal = Console(highlight=False, markup=False, emoji=False)
        if not terminal.is_terminal or terminal.is_dumb_terminal:
            return TerminalView()
        from decodekit.cli.live import LiveView

        return LiveView(terminal, self.session.adapter.tokenizer, self.session.chain.describe())

    def _explained(self, outcome: RunOutcome) -> dict[str, Any]:
        """Show the requested step; as data when the output is JSON."""
        if self.explain is None or outcome.trace is None or outcome.error is not None:
            return {}
        one = [step for step in outcome.trace.steps if step.stream == outcome.samples[0].stream]
        trace, tokenizer = Trace(outcome.trace.header, one, outcome.trace.footer), self.session.adapter.tokenizer
        at = find_step(one, self.explain)
        story = story_of(trace, at, tokenizer)
        if self.as_json:
            return {"explain": story.to_dict()}
        put("\n")
        show_step(console(), story)
        return {}
