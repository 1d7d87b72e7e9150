"""The commands by name, and how errors are reported."""

from __future__ import annotations

import io
import re
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from decodekit.cli.commands.audit import audit
from decodekit.cli.commands.chain import chain
from decodekit.cli.commands.config import config_app
from decodekit.cli.commands.diff import diff
from decodekit.cli.commands.doctor import doctor
from decodekit.cli.commands.explain import explain
from decodekit.cli.commands.generate import generate
from decodekit.cli.commands.plugins import plugins
from decodekit.cli.commands.recover import recover
from decodekit.cli.commands.replay import replay
from decodekit.cli.commands.report import report
from decodekit.cli.commands.resume import resume
from decodekit.cli.commands.rollouts import rollouts
from decodekit.cli.commands.score import score
from decodekit.cli.commands.sweep import sweep
from decodekit.cli.commands.trace import trace_app
from decodekit.cli.commands.verify import verify
from decodekit.cli.commands.view import view
from decodekit.cli.output import exit_code, say, say_lines
from decodekit.cli.streams import give_up_stdout, why_stdout_failed
from decodekit.errors import DecodekitError, message_of
from decodekit.plugin.one_line import in_chain
from decodekit.plugin.wording import first_fault
from decodekit.text.safe_text import safe_text

__all__ = ["app", "run"]

_DOWNLOADS = ("allow_downloads=True", "--set allow_downloads=true")  # an option of decodekit.open, as a flag

app = typer.Typer(
    name="decodekit",
    help="Decoding for language models: a distribution of any backend, your chain, a recorded draw.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for command in (
    generate,
    resume,
    verify,
    view,
    explain,
    replay,
    diff,
    report,
    recover,
    score,
    sweep,
    rollouts,
    chain,
    plugins,
    doctor,
    audit,
):
    app.command()(command)
app.add_typer(config_app, name="config")
app.add_typer(trace_app, name="trace")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"decodekit {version('decodekit')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error. Allowed anywhere.")] = False,
) -> None:
    """Results on stdout, messages on stderr. Exit 0: done or proved; 1: failed; 2: a wrong call, or no such file."""


def run(arguments: Sequence[str], *, debug: bool = False) -> int:
    """Run one command and return its exit code. An error is one line on stderr; with debug, its traceback too."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal of another encoding shows escapes, not a traceback
            stream.reconfigure(errors="backslashreplace")
    try:
        code: Any = app(list(arguments), standalone_mode=False, prog_name="decodekit")
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except (Exception, SystemExit) as error:
        if debug:
            say_lines(safe_text(traceback.format_exc(), newlines=True))
        message, code = _verdict(error)
        if message:  # a call without arguments has shown its help already, and a closed pipe gets no message
            say(message)
    return code if isinstance(code, int) else 0


def _verdict(error: BaseException) -> tuple[str, int]:
    """The line to print and the exit code."""
    if isinstance(error, DecodekitError):
        return str(error).replace(*_DOWNLOADS), exit_code(error)
    why = why_stdout_failed(error) if isinstance(error, OSError) else None
    if why is not None:
        give_up_stdout()
        return why, 1
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # typer's own, or click's in older ones
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()  # type: ignore[attr-defined]
            return "", 2
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "decodekit"
        return f"{_in_our_words(error)}{_elsewhere(error)}; see {path} --help", 2
    if isinstance(error, SystemExit) and error.code in (0, 1):  # rich exits so on a broken pipe
        give_up_stdout()
        return "", 1
    message = f"{type(error).__name__}: {message_of(error)}"
    return f"{message} (this is a bug in decodekit or in a plugin; --debug shows where)", 1


def _in_our_words(error: Any) -> str:
    """The message of a wrong call. Typer has pydantic check values, and shows its words; older ones have their own."""
    cause, message = error.__cause__, str(error.format_message()).rstrip(".")
    given = getattr(error, "message", "").rstrip(".")
    if given and hasattr(cause, "errors"):
        return message.replace(given, "it " + first_fault(cause.errors(), None).removeprefix("all of it: "))
    older = re.fullmatch(r"('.*') is not a valid (?:(integer)|float)", given)
    if older is not None:
        return message.replace(given, f"it must be a {'whole ' if older[2] else ''}number, not {older[1]}")
    if message.startswith("Got unexpected extra argument"):
        return f"{message}; a text with spaces is written in quotes"
    return message


def _elsewhere(error: Any) -> str:
    """Which commands have an option that this one lacks, or that it is a part of a chain."""
    option, context = getattr(error, "option_name", None), getattr(error, "ctx", None)
    if option is None or context is None:
        return ""
    part = in_chain(option.lstrip("-").replace("-", "_"), flag="--chain ")
    if part:
        return part
    commands = getattr(context.find_root().command, "commands", {})
    having = [name for name, each in commands.items() if any(option in known.opts for known in each.params)]
    return f"; {' and '.join(having)} {'has' if len(having) == 1 else 'have'} it" if having else ""
