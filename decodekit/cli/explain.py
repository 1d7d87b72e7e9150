"""One step as a table: the model's distribution, the result of each processor, the draw, and the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from decodekit.cli.output import show_table
from decodekit.cli.story_table import fitting, stage_table
from decodekit.errors import ParameterError
from decodekit.trace.step import Step
from decodekit.view.story import StepStory
from decodekit.view.verdicts import MEANING, STYLE

__all__ = ["find_step", "show_fact", "show_step"]

_FACT_COLUMN = 10
_CONTENDERS = 3


def find_step(steps: Sequence[Step], wanted: int, flag: str = "--explain") -> int:
    """The index of the step in a sequence; a negative number counts from the end.

    Raises:
        ParameterError: there is no such step.
    """
    if not -len(steps) <= wanted < len(steps):
        there = f"there are steps 0 to {len(steps) - 1}" if steps else "no token was generated"
        raise ParameterError(f"{flag} {wanted}: no such step; {there}")
    return wanted % len(steps)


def show_step(out: Console, story: StepStory, *, whole: bool = False) -> None:
    """Print one step.

    Args:
        out: where to.
        story: of the step.
        whole: also what each processor did, the race, the drift, other seeds, and what is not known.
    """
    hidden, kept = fitting(len(story.stages), out.width)
    before = f"  after {story.before}" if story.before else ""
    out.print(Text.assemble((f"step {story.index}: ", "bold"), (story.label, "bold green"), (before, "dim")))
    out.print()
    show_table(out, stage_table(story, kept, out.width))
    if hidden:
        names = ", ".join(story.stages[i].name for i in hidden)
        out.print(Text(f"  (not shown: {names})", style="dim"))
    out.print()
    if whole:
        for stage in story.stages:
            show_fact(out, stage.name, stage.sentence)
        out.print()
    for name, line in story.facts:
        show_fact(out, name, line)
    if whole:
        for name, line in _more(story):
            show_fact(out, name, line)
    word = story.verdict
    show_fact(out, "check", Text.assemble((word, STYLE[word]), _means(word)))


def show_fact(out: Console, name: str, line: str | Text) -> None:
    """Print a name and a sentence, whose further lines stay to the right of the name."""
    made = Table.grid()
    made.add_column(width=max(_FACT_COLUMN, len(name) + 4))
    made.add_column(overflow="fold")
    made.add_row(Text(f"  {name}", style="dim"), Text(line) if isinstance(line, str) else line)
    show_table(out, made)


def _more(story: StepStory) -> Iterator[tuple[str, str]]:
    if story.race is not None:
        yield "race", story.race.sentence
        for each in story.race.contenders[:_CONTENDERS]:
            sign = "-" if each.noise < 0 else "+"
            yield "", f"{each.total:8.4f} = {each.score:.4f} {sign} {abs(each.noise):.4f}  {each.label}"
    if story.place is not None:
        yield "place", story.place.sentence
    yield "drift", story.drift.sentence
    yield "seeds", story.seeds.sentence
    for branch in story.branches:
        yield "taken back", f"{' '.join(branch.labels)}, because of the banned {branch.why}"
    for note in story.notes:
        yield "note", note


def _means(word: str) -> str:
    return f": {MEANING[word].replace('each choice', 'the choice')}"
