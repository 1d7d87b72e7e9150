"""The progress bar of long runs."""

from __future__ import annotations

import sys
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from decodekit.text.counted import counted

__all__ = ["Bar"]


class Bar:
    """A progress bar on a terminal's stderr; nothing elsewhere.

    Args:
        what: what is counted.
        total: how many there are.
        done: how many of them are done.
    """

    def __init__(self, what: str, total: int, done: int) -> None:
        self._progress: Progress | None = None
        if sys.stderr.isatty():
            shown = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._progress = Progress(*shown, console=Console(stderr=True), transient=False)
            self._task = self._progress.add_task(what, total=total, completed=done)
        self._tokens = 0

    def step(self, tokens: int, *, failed: int, by: int = 1, total: int | None = None) -> None:
        """One more result, or ``by`` more; ``total`` changes how many there are."""
        self._tokens += tokens
        if self._progress is not None:
            text = counted(self._tokens, "token") + (f", {failed} failed" if failed else "")
            self._progress.update(self._task, advance=by, total=total, description=text)

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._progress is not None:
            self._progress.stop()
