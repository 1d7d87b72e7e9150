"""``decodekit trace``: traces as data. What a file holds, a table of it, a part of it, and SQL over many."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from decodekit.cli.commands.recover import recover
from decodekit.cli.files import new_file
from decodekit.cli.options import JsonFlag, TraceArgument
from decodekit.cli.output import console, put_json, show_table, table
from decodekit.cli.rows import put_rows
from decodekit.errors import ConfigError, ParameterError
from decodekit.text.counted import counted
from decodekit.text.safe_text import safe_text

__all__ = ["trace_app"]

trace_app = typer.Typer(help="Traces as data: convert, info, recover, slice, query.", no_args_is_help=True)
Target = Annotated[Path, typer.Argument(metavar="TARGET", help="The file to write; it must not exist.")]


@trace_app.command()
def convert(trace: TraceArgument, target: Target) -> None:
    """Write a trace file as a Parquet table, for analysis. The table proves nothing: keep the trace."""
    from decodekit.trace.converting import convert as convert_trace

    new_file(target)
    _say_written(target, convert_trace(trace, target))


@trace_app.command("slice")
def slice_(
    trace: TraceArgument,
    target: Target,
    streams: Annotated[
        str | None, typer.Option("--streams", metavar="N,...", help="Only these sequences; all when not given.")
    ] = None,
    steps: Annotated[
        str | None, typer.Option("--steps", metavar="A:B", help="Only steps from A up to the one before B.")
    ] = None,
) -> None:
    """Write some steps of a trace or a table: a smaller table (.parquet), or rows as JSON Lines.

    A part of a run is no run, so it is no trace, and cannot be verified.
    """
    from decodekit.trace.converting import Part, slice_trace

    new_file(target)
    first, end = _range(steps)
    chosen = None if streams is None else [_number(each, "--streams") for each in streams.split(",")]
    _say_written(target, slice_trace(trace, target, Part(chosen, first, end)))


@trace_app.command()
def info(
    trace: TraceArgument,
    verify: Annotated[bool, typer.Option("--verify", help="Verify it too; a table cannot be.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Say what a trace or a table holds. Exit 1 if it has a fault, or its verification failed."""
    from decodekit.trace.about import about
    from decodekit.trace.verifying import verify as verify_trace

    facts = about(trace)
    if verify:
        verdict = verify_trace(trace)
        facts["verdict"] = {"word": verdict.word, "step": verdict.step, "why": verdict.why}
    failed = facts["fault"] is not None or (verify and facts["verdict"]["word"] == "failed")
    if as_json:
        put_json(facts)
    else:
        made = table("", "")
        made.show_header = False
        for name, value in facts.items():
            if value is not None:
                made.add_row(name, safe_text(_in_words(value)))
        show_table(console(), made)
    raise typer.Exit(1 if failed else 0)


@trace_app.command()
def query(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT from the table steps.")],
    traces: Annotated[
        list[Path], typer.Argument(metavar="TRACE...", exists=True, dir_okay=False, help="Trace files and tables.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object for each row on stdout.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Comma-separated values on stdout.")] = False,
) -> None:
    """Ask DuckDB about the steps of traces: the table steps has one row for each, and the column trace names its file.

    The query can read these files only. Without --json or --csv it shows at most 100 rows, and the columns that fit.
    """
    from decodekit.trace.querying import query as query_traces

    if as_json and as_csv:
        raise ConfigError("--json and --csv exclude one another")
    with query_traces(sql, traces) as answer:
        put_rows(answer.columns, answer.rows, "json" if as_json else "csv" if as_csv else "table")


trace_app.command()(recover)


def _say_written(target: Path, steps: int) -> None:
    typer.echo(f"{safe_text(str(target))}: {counted(steps, 'step')}")


def _range(text: str | None) -> tuple[int, int | None]:
    if text is None:
        return 0, None
    found = re.fullmatch(r"(\d*):(\d*)", text, re.ASCII)
    if found is None:
        raise ParameterError(f"--steps is two numbers, A:B, one of which may be left out, not {text!r}")
    return _number(found[1] or "0", "--steps"), None if not found[2] else _number(found[2], "--steps")


def _number(text: str, option: str) -> int:
    if not re.fullmatch(r"\s*\d{1,20}\s*", text, re.ASCII) or int(text) >= 2**64:
        raise ParameterError(f"{option} takes whole numbers from 0 below 2**64, not {text!r}")
    return int(text)


def _in_words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {each}" for name, each in value.items() if each is not None)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
