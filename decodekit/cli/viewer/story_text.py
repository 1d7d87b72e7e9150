"""The story of a step as text for a terminal: the table of stages, the race, and what is told in sentences."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from decodekit.cli.story_table import NARROW, fitting, stage_table
from decodekit.trace.stages import bar, share_text
from decodekit.view.draw_story import Race
from decodekit.view.stage_story import Row, Stage
from decodekit.view.story import StepStory
from decodekit.view.verdicts import MEANING, STYLE

__all__ = ["StoryText"]

_BAR = 10
_CHOSEN = "bold green"


@dataclass(frozen=True, slots=True)
class StoryText:
    """A step as text, as wide as the room it gets.

    Args:
        story: the step. All its texts are safe to show.
        candidate: the row that is marked and told; None for none.
    """

    story: StepStory
    candidate: int | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        story, width = self.story, options.max_width
        before = f"  after {story.before}" if story.before else ""
        yield Text.assemble((f"step {story.index}: ", "bold"), (story.label, _CHOSEN), (before, "dim"))
        yield Text()
        hidden, kept = fitting(len(story.stages), width)
        yield stage_table(story, kept, width, self.candidate)
        if hidden:
            yield Text(f"  (not shown: {', '.join(story.stages[i].name for i in hidden)})", style="dim")
        if self.candidate is not None and self.candidate < len(story.rows):
            yield _candidate(story.rows[self.candidate], story.stages)
        yield Text()
        for stage in story.stages:
            yield _line(f"{stage.name} {stage.parameter}".strip(), stage.sentence)
        yield Text()
        if story.race is not None and len(story.race.contenders) > 1:
            yield _race(story.race, width)
            yield Text()
        for name, sentence in _sentences(story):
            yield _line(name, sentence)
        meaning = MEANING[story.verdict].replace("each choice", "the choice")
        yield _line("check", Text.assemble((story.verdict, STYLE[story.verdict]), f": {meaning}"))


def _sentences(story: StepStory) -> Iterable[tuple[str, str]]:
    for told in (story.race, story.place):
        if told is not None:
            yield "draw", told.sentence
    yield from ((name, sentence) for name, sentence in story.facts if name != "draw" or story.word is not None)
    yield "drift", story.drift.sentence
    yield "seeds", story.seeds.sentence
    for branch in story.branches:
        yield "taken back", f"{' '.join(branch.labels)}, because of the banned {branch.why}"
    for note in story.notes:
        yield "note", note


def _line(name: str, sentence: str | Text) -> RenderableType:
    """A name and a sentence; the lines after the first are indented."""
    text = Text.assemble((f"{name}: ", "dim"), sentence)
    return Padding(text, (0, 0, 0, 2))


def _candidate(row: Row, stages: Sequence[Stage]) -> Text:
    """One token through all stages, also those that have no column."""
    told = [f"{stage.name} {share_text(share)}" for stage, share in zip(stages, row.probabilities, strict=False)]
    removed = "" if row.removed_by is None else f"; removed by {stages[row.removed_by].name}"
    return Text.assemble((row.label, "reverse"), f" {', '.join(told)}{removed}")


def _race(race: Race, width: int) -> Table:
    """Who came first: score + noise = total, as a bar over the range of those shown."""
    made = Table(box=None, pad_edge=False, padding=(0, 0, 0, 1), header_style="dim")
    made.add_column(Text("race", style="dim"), max_width=20, no_wrap=True, overflow="ellipsis")
    wide = width >= NARROW
    for name in ("score", "noise", "sum") if wide else ("sum",):
        made.add_column(Text(name, style="dim"), justify="right")
    made.add_column("", width=_BAR)
    totals = [each.total for each in race.contenders if math.isfinite(each.total)]
    low, high = min(totals, default=0.0), max(totals, default=0.0)
    for each in race.contenders:
        share = (each.total - low) / (high - low) if high > low and math.isfinite(each.total) else 0.0
        numbers = (each.score, each.noise, each.total) if wide else (each.total,)
        style = _CHOSEN if each.chosen else ""
        cells = [Text(f"{number:.4f}", style=style) for number in numbers]
        made.add_row(Text(each.label, style=style), *cells, Text(bar(share, _BAR), style=style))
    return made
