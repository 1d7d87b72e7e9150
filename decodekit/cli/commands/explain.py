"""``decodekit explain``: one step of a trace as a story, and what another chain or seed would have drawn there."""

from __future__ import annotations

from typing import Annotated

import typer

from decodekit.cli.adapter_choice import AdapterChoice, with_adapter_flags
from decodekit.cli.as_if import AsIfFlag, ChainFlag, OtherSeedFlag, asked_about
from decodekit.cli.changes import change_data, change_told
from decodekit.cli.explain import find_step, show_fact, show_step
from decodekit.cli.options import JsonFlag, TraceArgument
from decodekit.cli.output import console, put_json, say
from decodekit.cli.run_tokenizer import tokenizer_of
from decodekit.errors import ParameterError
from decodekit.text.safe_text import safe_text
from decodekit.trace import Trace

__all__ = ["explain"]


@with_adapter_flags
def explain(
    trace: TraceArgument,
    chosen: AdapterChoice,
    step: Annotated[int, typer.Option("--step", help="Which step; -1 is the last.")] = -1,
    stream: Annotated[int | None, typer.Option("--stream", help="Of which sequence; by default the first.")] = None,
    as_if: AsIfFlag = None,
    chain: ChainFlag = None,
    seed: OtherSeedFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Tell one step: what the model said, what each processor did and to whom, the draw, and how firm it is.

    The texts of tokens need the run's model; without it they are ids. Exit 0; 2 if there is no such step.
    """
    from decodekit.trace.reader import inspect_trace
    from decodekit.trace.what_if.counterfactual import ask_again
    from decodekit.view.story import story_of

    recorded, fault = inspect_trace(trace)
    if fault is not None:
        say(f"warning: {fault}")
    at = _place(recorded, step, stream)
    asked = asked_about(recorded, as_if, chain)
    with tokenizer_of(chosen, recorded) as tokenizer:
        story, found = story_of(recorded, at, tokenizer), None
        if asked is not None or seed is not None:
            only = (story.stream, story.index)
            found = ask_again(recorded, chain=asked, seed=seed, tokenizer=tokenizer, only=only)
        if as_json:
            put_json({**story.to_dict(), "as_if": None if found is None else change_data(found.steps[-1])})
            return
        out = console()
        show_step(out, story, whole=True)
        if found is not None:
            given = [as_if or chain or "", "" if seed is None else f"seed={seed}"]
            question = safe_text(" ".join(filter(None, given)))
            show_fact(out, "as if", f"{question}: {change_told(found.steps[-1], tokenizer)}")


def _place(trace: Trace, step: int, stream: int | None) -> int:
    """The index of the step in the trace."""
    streams = list(dict.fromkeys(each.stream for each in trace.steps))
    if stream is not None and stream not in streams:
        raise ParameterError(f"--stream {stream}: no step of it was recorded; there are {streams[:8]}")
    wanted = stream if stream is not None else next(iter(streams), 0)
    places = [at for at, each in enumerate(trace.steps) if each.stream == wanted]
    return places[find_step([trace.steps[at] for at in places], step, "--step")]
