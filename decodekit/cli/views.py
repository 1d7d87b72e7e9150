"""How a running generation is shown: raw text into a pipe, safe text on a simple terminal, or nothing."""

from __future__ import annotations

from typing import Protocol, Self

import typer

from decodekit.cli.output import put
from decodekit.errors import DecodekitError
from decodekit.text.safe_text import safe_text
from decodekit.trace.step import Step

__all__ = ["PipeView", "SilentView", "TerminalView", "View"]


class View(Protocol):
    """Receives every step as it happens. On exit it shows what was not shown yet, however the run ended."""

    def __enter__(self) -> Self: ...
    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None: ...
    def show(self, step: Step) -> None: ...


class SilentView:
    """Shows nothing; for ``--json``."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        return None

    def show(self, step: Step) -> None:
        """Nothing."""


class PipeView(SilentView):
    """The text as data, added step by step, and one newline at the end."""

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        if kind is None or not issubclass(kind, DecodekitError):  # a run that could not start has no text
            put("\n")

    def show(self, step: Step) -> None:
        """Add the step's text."""
        if step.text:
            put(step.text)


class TerminalView(PipeView):
    """The same for a terminal that cannot move its cursor: only visible characters and newlines."""

    def show(self, step: Step) -> None:
        """Add the step's text, made safe."""
        typer.echo(safe_text(step.text, newlines=True), nl=False)
