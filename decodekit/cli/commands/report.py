"""``decodekit report``: traces as one HTML page that loads nothing."""

from __future__ import annotations

from contextlib import closing, nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from decodekit.errors import ConfigError
from decodekit.plugin.registry import define_group
from decodekit.text.safe_text import safe_text

__all__ = ["report"]

_Traces = Annotated[
    list[Path], typer.Argument(metavar="TRACE...", exists=True, dir_okay=False, readable=True, help="Trace files.")
]


def report(
    traces: _Traces,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The page; an older report is replaced.")],
    tokenizer: Annotated[
        str | None,
        typer.Option(
            "--tokenizer", metavar="T", help="The run's: a tokenizer.json, a GGUF file, or an installed model package."
        ),
    ] = None,
) -> None:
    """Write traces as one HTML page that loads nothing: text, steps, draws, and their check. Two are compared too."""
    from decodekit.report import write_report

    if not out.parent.is_dir():
        raise ConfigError(f"cannot create {out}: there is no folder {str(out.parent)!r}")
    read: Any = None if tokenizer is None else _tokenizer(tokenizer)
    with closing(read) if hasattr(read, "close") else nullcontext():
        page = write_report(traces, out, tokenizer=read)
    size = page.stat().st_size
    typer.echo(f"{safe_text(str(page))}: {size / 1e6:.2f} MB")


def _tokenizer(name: str) -> Any:
    """The tokenizer in a file, or of a model package.

    Raises:
        ConfigError: no plugin that reads it is installed, or it is none.
        ModelNotFound: there is no such model.
    """
    path = Path(name).expanduser()
    group = define_group("tokenizers", "tokenizer")
    read, _ = group.load("huggingface" if path.is_dir() or path.suffix == ".json" else "gguf")
    made: Any = read(name)
    return made
