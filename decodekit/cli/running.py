"""One call of ``decodekit generate``: run the session, show its output, and report how it ended."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any

import typer
from rich.console import Console

from decodekit.cli.explain import explain_data, find_step, show_step
from decodekit.cli.interrupt import Interrupt
from decodekit.cli.output import console, put, put_json, say
from decodekit.cli.views import PipeView, SilentView, TerminalView, View
from decodekit.draw.randomness import Randomness
from decodekit.errors import DecodekitError
from decodekit.session import Prompt, Result, Session
from decodekit.trace import Trace
from decodekit.trace.step import Step
from decodekit.view.safe_text import safe_text

__all__ = ["Generation"]


@dataclass
class _Sample:
    """One sequence, complete or not, with or without a `Result`."""

    stream: int
    finish_reason: str
    text: str
    token_ids: tuple[int, ...]
    error: str | None = None

    @classmethod
    def of(cls, result: Result) -> _Sample:
        error = None if result.error is None else str(result.error)
        return cls(result.stream, result.finish_reason, result.text, result.token_ids, error)

    @classmethod
    def cut(cls, steps: Iterable[Step], reason: str, stream: int = 0, error: str | None = None) -> _Sample:
        kept = [step for step in steps if step.stream == stream]
        return cls(stream, reason, "".join(step.text for step in kept), tuple(step.token_id for step in kept), error)

    def data(self) -> dict[str, Any]:
        summary = {"text": self.text, "token_ids": self.token_ids, "finish_reason": self.finish_reason}
        return summary if self.error is None else {**summary, "error": self.error}


@dataclass
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
    explain: int | None
    resumed: Callable[[], Generator[Step, None, list[Result]]] | None = None
    steps: list[Step] = field(default_factory=list)
    samples: list[_Sample] = field(default_factory=list)
    trace: Trace | None = None
    error: DecodekitError | None = None

    def go(self) -> int:
        """Generate, and return the exit code."""
        # The seed is drawn here rather than in the session, so that it is known even if the run is interrupted.
        self.call["seed"] = Randomness(self.session.seed).seed
        if self.resumed is not None or len(self.streams) == 1:
            self._stream()
        else:
            self._many()
        explained = self._explained()
        if self.as_json:
            put_json({**self._data(), **explained})
        elif sys.stderr.isatty():
            self._sum_up()
        if self.error is not None:
            raise self.error
        reasons = {sample.finish_reason for sample in self.samples}
        return 130 if "cancelled" in reasons else 1 if "error" in reasons else 0

    def _stream(self) -> None:
        with (
            closing(self._begun()) as stream,
            self._view() as view,
            Interrupt() as interrupt,
        ):
            try:
                while not interrupt.asked:
                    step = next(stream)
                    self.steps.append(step)
                    view.show(step)
                self._cut("cancelled")
            except StopIteration as end:
                results: list[Result] = end.value if isinstance(end.value, list) else [end.value]
                self.samples = [_Sample.of(result) for result in results]
                self.trace = Trace(results[0].trace.header, self.steps, results[0].trace.footer)
            except DecodekitError as error:
                if error.partial is None:
                    raise  # it did not start
                self.error = error
                self._cut("error", str(error))
        if len(self.streams) > 1:
            self._show_samples()

    def _begun(self) -> Generator[Step, None, Result | list[Result]]:
        return self.resumed() if self.resumed is not None else self.session.stream(self.prompt, **self.call)

    def _cut(self, reason: str, error: str | None = None) -> None:
        self.samples = [_Sample.cut(self.steps, reason, stream, error) for stream in self.streams]

    def _many(self) -> None:
        def watch(step: Step) -> bool:
            self.steps.append(step)
            if interrupt.asked:  # raised here, the session records this step first and ends the run as cancelled
                raise KeyboardInterrupt
            return False

        try:
            with Interrupt() as interrupt:
                n = len(self.streams)
                results = self.session.generate_many([self.prompt], n=n, until=watch, **self.call)[0]
            self.samples = [_Sample.of(result) for result in results]
            self.trace = results[0].trace
        except KeyboardInterrupt:
            self._cut("cancelled")
        self._show_samples()

    def _show_samples(self) -> None:
        if not self.as_json:
            show = (lambda text: safe_text(text, newlines=True)) if sys.stdout.isatty() else str
            for at, sample in enumerate(self.samples):
                put(("---\n" if at else "") + show(sample.text) + "\n")
                if sample.error is not None:
                    say(f"sample {at}: {sample.error}")

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

    def _explained(self) -> dict[str, Any]:
        """Show the requested step; as data when the output is JSON."""
        if self.explain is None or self.trace is None or self.error is not None:
            return {}
        one = [step for step in self.trace.steps if step.stream == self.samples[0].stream]
        trace, tokenizer = Trace(self.trace.header, one, self.trace.footer), self.session.adapter.tokenizer
        at = find_step(one, self.explain)
        if self.as_json:
            return {"explain": explain_data(trace, at, tokenizer)}
        put("\n")
        show_step(console(), trace, at, tokenizer)
        return {}

    def _data(self) -> dict[str, Any]:
        path = self.call["trace"]
        summary = {"seed": self.call["seed"], "trace": None if path is None else str(path)}
        if len(self.samples) == 1:
            return {**self.samples[0].data(), **summary}
        return {**summary, "results": [{"stream": sample.stream, **sample.data()} for sample in self.samples]}

    def _sum_up(self) -> None:
        """One line on a terminal: what is needed to repeat the run."""
        tokens = sum(len(sample.token_ids) for sample in self.samples)
        reasons = ", ".join(sorted({sample.finish_reason for sample in self.samples}))
        path = self.call["trace"]
        written = "" if path is None else f", trace {safe_text(str(path))}"
        with suppress(OSError):
            typer.secho(f"{tokens} tokens, {reasons}, seed {self.call['seed']}{written}", err=True, dim=True)
