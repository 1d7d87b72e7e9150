"""``decodekit view``: look at a trace, token by token."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import typer

from decodekit.cli.options import TraceArgument
from decodekit.cli.output import console, say
from decodekit.errors import ParameterError

if TYPE_CHECKING:
    from decodekit.cli.viewer.walk import Walk

__all__ = ["view"]


def view(
    trace: TraceArgument,
    step: Annotated[
        int | None, typer.Option("--step", metavar="N", help="Print the story of this step; -1 is the last.")
    ] = None,
    sequence: Annotated[int, typer.Option("--sequence", metavar="K", help="Which sequence to begin with.")] = 1,
) -> None:
    """Walk the tokens of a trace with keys: ← → tokens, ↑ ↓ sequences or candidates, ? help, q quit.

    In a pipe, or without the extra tui, it prints the text and a table of the first steps.
    """
    from decodekit.cli.viewer.plain import show_run, show_story
    from decodekit.cli.viewer.walk import Walk
    from decodekit.trace import verify
    from decodekit.trace.reader import inspect_trace
    from decodekit.view.run_story import run_story
    from decodekit.view.story import story_of

    recorded, fault = inspect_trace(trace)
    verdict = verify(recorded)
    walk = Walk(run_story(recorded, verdict=verdict))
    _turn(walk, sequence)
    if fault is not None:
        say(f"{fault}; the steps before it are shown")
    if step is not None:
        show_story(console(), story_of(recorded, _index(walk, step), verdict=verdict))
    elif not _interactive():
        show_run(console(), walk)
    else:
        from decodekit.cli.viewer.app import Viewer

        Viewer(recorded, walk, verdict, fault=str(fault or "")).run()


def _turn(walk: Walk, sequence: int) -> None:
    if not 1 <= sequence <= max(1, walk.sequences):
        raise ParameterError(f"--sequence {sequence}: there are sequences 1 to {walk.sequences}")
    walk.turn(sequence - 1)


def _index(walk: Walk, step: int) -> int:
    count = len(walk.indices)
    if not -count <= step < count:
        there = f"there are steps 0 to {count - 1}" if count else "no tokens were recorded"
        raise ParameterError(f"--step {step}: no such step; {there}")
    return walk.indices[step]


def _interactive() -> bool:
    """Whether there is a terminal that can be drawn on, and what draws; says what is missing."""
    console_ = console()
    if not (sys.stdin.isatty() and console_.is_terminal) or console_.is_dumb_terminal:
        return False
    if find_spec("textual") is None:
        say("to walk the tokens with keys: pip install 'decodekit[tui]'")
        return False
    return True
