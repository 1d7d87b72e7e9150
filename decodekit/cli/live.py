"""The live view of a terminal: the text coloured by surprisal, and the current step's probabilities as bars."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from decodekit.cli.surprise import colour_of
from decodekit.text.labels import token_label
from decodekit.text.safe_text import safe_text
from decodekit.trace.stages import bar, grid, share_text
from decodekit.trace.step import Step

if TYPE_CHECKING:
    from decodekit.text.tokenizer import Tokenizer

__all__ = ["LiveView"]

_FRAME = 1 / 12
_BAR = 10
_BAR_COLUMN = _BAR + 1 + len("100.00 %") + 2
_TOKENS_SHOWN = 6


class LiveView:
    """Redraws the end of the text and the bars of the last step; at the end prints the whole text.

    Args:
        console: a terminal.
        tokenizer: for the texts of tokens.
        chain: the chain as `Chain.describe` gives it.
    """

    def __init__(self, console: Console, tokenizer: Tokenizer | None, chain: Mapping[str, Any]) -> None:
        self._console = console
        self._tokenizer = tokenizer
        self._chain = chain
        self._pieces: list[tuple[str, str]] = []
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._shown = 0.0

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        self._live.update("", refresh=True)
        self._live.stop()
        if kind is None or self._pieces:
            self._console.print(Text.assemble(*self._pieces), soft_wrap=True)

    def show(self, step: Step) -> None:
        """Add the step; draw a frame if the last one is old enough to have been seen."""
        if step.text:
            self._pieces.append((safe_text(step.text, newlines=True), colour_of(step.choice.raw_logprob)))
        now = time.monotonic()
        if now - self._shown >= _FRAME:
            self._shown = now
            self._live.update(self._frame(step), refresh=True)

    def _frame(self, step: Step) -> RenderableType:
        width, height = self._console.width, self._console.height
        bars = self._bars(step) if height >= 16 else None
        room = max(1, height - (1 if bars is None else bars.row_count + 4))
        recent = Text.assemble(
            *self._pieces[-room * width :]
        )  # a token takes one cell or more, so these fill the screen
        lines = recent.wrap(self._console, width)
        text = Text("\n").join(lines[-room:])
        return text if bars is None else Group(text, Text(), bars)

    def _bars(self, step: Step) -> Table:
        stages, rows = grid(step, self._chain, _TOKENS_SHOWN)
        fitting = max(1, (self._console.width - 22) // _BAR_COLUMN)
        shown = list(range(len(stages)))
        if len(stages) > fitting:
            shown = shown[-fitting:] if fitting == 1 else [0, *shown[1 - fitting :]]
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column(Text(f"step {step.index}"), width=20, no_wrap=True, overflow="ellipsis")
        for i in shown:
            heading = f"{stages[i].name} {stages[i].detail}".strip()
            table.add_column(Text(safe_text(heading)), width=_BAR_COLUMN - 2, no_wrap=True, overflow="ellipsis")
        unicode = self._console.encoding.startswith("utf")
        for row in rows:
            style = "bold green" if row.chosen else ""
            shares = [row.shares[i] for i in shown]
            cells = [Text(f"{bar(s, _BAR, unicode=unicode)} {share_text(s):>8}", style=style) for s in shares]
            table.add_row(Text(token_label(self._tokenizer, row.token_id), style=style), *cells)
        return table
