"""``decodekit report``: traces as one HTML page that loads nothing."""

from __future__ import annotations

from contextlib import closing, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from decodekit.cli.adapter_choice import AdapterChoice, with_adapter_flags
from decodekit.errors import ConfigError
from decodekit.text.safe_text import safe_text

__all__ = ["report"]

_Traces = Annotated[
    list[Path], typer.Argument(metavar="TRACE...", exists=True, dir_okay=False, readable=True, help="Trace files.")
]
_Out = Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The page; an older report is replaced.")]


@with_adapter_flags
def report(traces: _Traces, out: _Out, chosen: AdapterChoice) -> None:
    """Write traces as one HTML page that loads nothing: text, steps, draws, and their check. Two are compared too.

    The texts of the other tokens need the run's model; without it they are ids.
    """
    from decodekit.model.asking import blocking
    from decodekit.report import write_report

    if not out.parent.is_dir():
        raise ConfigError(f"cannot create {out}: there is no folder {str(out.parent)!r}")
    built = chosen.build()
    live = None if built is None else blocking(built)
    with nullcontext() if live is None else closing(live):
        page = write_report(traces, out, tokenizer=None if live is None else live.tokenizer)
    typer.echo(f"{safe_text(str(page))}: {page.stat().st_size / 1e6:.2f} MB")
