"""``decodekit verify``: does each choice of a trace follow from what was recorded?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from decodekit.cli.adapter_choice import AdapterChoice, with_adapter_flags
from decodekit.cli.options import JsonFlag, TraceArgument
from decodekit.cli.output import console, put_json
from decodekit.cli.run_tokenizer import tokenizer_of
from decodekit.errors import DecodekitError
from decodekit.text.safe_text import safe_text
from decodekit.view.verdicts import GOOD, MEANING, STYLE

if TYPE_CHECKING:
    from decodekit.text.tokenizer import Tokenizer

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

    A model that flags or a config name gives its tokenizer and is not asked for anything else: texts are checked, too,
    and with --chain so are parts that read tokens, such as a constraint.
    """
    from decodekit.trace import verify as verify_trace

    with _tokenizer(chosen, trace) as tokenizer:
        try:
            verdict = verify_trace(trace, chain=chain, tokenizer=tokenizer)
            word, step, why, counts = str(verdict.word), verdict.step, verdict.why, dict(verdict.counts)
        except DecodekitError as error:  # no header, or one of an unknown version: nothing was verified
            word, step, why, counts = "unreadable", None, str(error), {}
    if as_json:
        put_json({"word": word, "step": step, "why": why, "counts": counts})
    else:
        _show(word, step, why, {str(name): count for name, count in counts.items()})
    raise typer.Exit(0 if word in GOOD or (word == "incomplete" and allow_incomplete) else 1)


@contextmanager
def _tokenizer(chosen: AdapterChoice, path: Path) -> Iterator[Tokenizer | None]:
    """The tokenizer of the run; None where the flags name no model, or the trace has no header to compare it with."""
    from decodekit.trace import Trace
    from decodekit.trace.reader import open_trace

    recorded = None
    with suppress(DecodekitError):
        recorded = Trace(open_trace(path).header, [], None)
    if recorded is None:
        yield None
    else:
        with tokenizer_of(chosen, recorded) as tokenizer:
            yield tokenizer


def _show(word: str, step: int | None, why: str, counts: dict[str, int]) -> None:
    from rich.text import Text

    out = console()
    out.print(Text.assemble((word, STYLE[word]), f": {MEANING[word]}"))
    counted = ", ".join(f"{count} {name}" for name, count in counts.items())
    if word not in ("proved", "reproduced"):
        out.print(Text(safe_text(why if step is None else f"at step {step}: {why}")))
    out.print(Text(f"steps: {counted or 'none'}", style="dim"))
