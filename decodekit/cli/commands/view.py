"""``decodekit view``: look at a trace, token by token."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Annotated

import typer

from decodekit.cli.adapter_choice import AdapterChoice, with_adapter_flags
from decodekit.cli.explain import find_step, show_step
from decodekit.cli.options import TraceArgument
from decodekit.cli.output import console, say
from decodekit.cli.run_tokenizer import tokenizer_of
from decodekit.errors import ParameterError

__all__ = ["view"]


@with_adapter_flags
def view(
    trace: TraceArgument,
    chosen: AdapterChoice,
    step: Annotated[
        int | None, typer.Option("--step", metavar="N", help="Begin at this step; -1 is the last. In a pipe, tell it.")
    ] = None,
    stream: Annotated[int | None, typer.Option("--stream", help="Begin with this sequence.")] = None,
) -> None:
    """Walk the tokens of a trace with keys: ← → tokens, ↑ ↓ sequences or candidates, ? help, q quit.

    In a pipe, or without the extra tui, print the text and a table of the first steps. The texts of tokens that were
    not chosen need the run's model.
    """
    from decodekit.cli.viewer.plain import show_run
    from decodekit.cli.viewer.walk import Walk
    from decodekit.trace import verify
    from decodekit.trace.reader import inspect_trace
    from decodekit.view.run_story import run_story
    from decodekit.view.story import story_of

    recorded, fault = inspect_trace(trace)
    if fault is not None:
        say(f"warning: {fault}; the steps before it are shown")
    with tokenizer_of(chosen, recorded) as tokenizer:
        verdict = verify(recorded)
        walk = Walk(run_story(recorded, tokenizer, verdict=verdict))
        if stream is not None and not walk.turn_to(stream):
            raise ParameterError(f"--stream {stream}: there is no such sequence; there are {walk.streams[:8]}")
        if step is not None:
            walk.go(find_step([recorded.steps[i] for i in walk.indices], step, "--step"))
        if _interactive():
            from decodekit.cli.viewer.app import Viewer

            Viewer(recorded, walk, verdict, tokenizer, fault=str(fault or "")).run()
        elif step is None or walk.index is None:
            show_run(console(), walk)
        else:
            show_step(console(), story_of(recorded, walk.index, tokenizer, verdict=verdict), whole=True)


def _interactive() -> bool:
    """Whether there is a terminal that can be drawn on, and what draws; says what is missing."""
    out = console()
    if not (sys.stdin.isatty() and out.is_terminal) or out.is_dumb_terminal:
        return False
    if find_spec("textual") is None:
        say("to walk the tokens with keys: pip install 'decodekit[tui]'")
        return False
    return True
