"""``decodekit verify``: does each choice of a trace follow from what was recorded?"""

from __future__ import annotations

from typing import Annotated

import typer

from decodekit.cli.adapter_choice import AdapterChoice, with_adapter_flags
from decodekit.cli.options import JsonFlag, TraceArgument
from decodekit.cli.output import console, put_json
from decodekit.cli.run_tokenizer import tokenizer_of
from decodekit.errors import TraceError
from decodekit.text.safe_text import safe_text
from decodekit.view.verdicts import GOOD, MEANING, STYLE

__all__ = ["verify"]


@with_adapter_flags
def verify(
    trace: TraceArgument,
    chosen: AdapterChoice,
    chain: Annotated[
        bool,
        typer.Option("--chain", help="Run the recorded chain with its plugins again, too (level full only)."),
    ] = False,
    allow_incomplete: Annotated[
        bool, typer.Option("--allow-incomplete", help="Exit 0 for a run without an end if its steps pass.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Check a trace without the model. Exit 0: reproduced, proved, consistent or ambiguous; 1: anything else.

    A model named by flags or a config gives its tokenizer only: for the texts of the steps and, with --chain, for parts
    that need it, such as a constraint.
    """
    from decodekit.trace import Trace
    from decodekit.trace import verify as verify_trace
    from decodekit.trace.reader import open_trace

    try:
        with tokenizer_of(chosen, Trace(open_trace(trace).header, [], None)) as tokenizer:
            verdict = verify_trace(trace, chain=chain, tokenizer=tokenizer)
        word, step, why, counts = str(verdict.word), verdict.step, verdict.why, dict(verdict.counts)
    except TraceError as error:  # no header, or one of an unknown version: nothing was verified
        word, step, why, counts = "unreadable", None, str(error), {}
    if as_json:
        put_json({"word": word, "step": step, "why": why, "counts": counts})
    else:
        _show(word, step, why, {str(name): count for name, count in counts.items()})
    raise typer.Exit(0 if word in GOOD or (word == "incomplete" and allow_incomplete) else 1)


def _show(word: str, step: int | None, why: str, counts: dict[str, int]) -> None:
    from rich.text import Text

    out = console()
    out.print(Text.assemble((word, STYLE[word]), f": {MEANING[word]}"))
    counted = ", ".join(f"{count} {name}" for name, count in counts.items())
    if word not in ("proved", "reproduced"):
        out.print(Text(safe_text(why if step is None else f"at step {step}: {why}")))
    out.print(Text(f"steps: {counted or 'none'}", style="dim"))
