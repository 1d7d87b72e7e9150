"""``decodekit resume``: continue a run that was interrupted, or that ended at its limit, from its trace."""

from __future__ import annotations

import shlex
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer

from decodekit.cli.adapter_choice import AdapterChoice, with_adapter_flags
from decodekit.cli.files import new_file
from decodekit.cli.options import (
    DeadlineFlag,
    ExplainFlag,
    JsonFlag,
    TraceArgument,
)
from decodekit.cli.output import say
from decodekit.config import load_config
from decodekit.config.objects import named_objects
from decodekit.errors import ConfigError
from decodekit.model.asking import blocking
from decodekit.plugin import registry
from decodekit.text.counted import counted

__all__ = ["resume"]


@with_adapter_flags
def resume(
    trace: TraceArgument,
    chosen: AdapterChoice,
    as_recorded: Annotated[
        bool,
        typer.Option(
            "--as-recorded", help="Build the adapter that the trace names, if you trust the trace. Flags override it."
        ),
    ] = False,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", help="At most this many tokens in all; as recorded when not given.")
    ] = None,
    deadline: DeadlineFlag = None,
    target: Annotated[
        Path | None, typer.Option("--trace", help="A new file for the whole trace; the old one is only read.")
    ] = None,
    explain: ExplainFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Continue a run from its trace, token for token as if it had not been interrupted.

    Prompt, chain, seed and stop conditions are those of the trace; the model comes from flags or a config. The text of
    the whole run is shown, beginning with the recorded part.
    """
    from decodekit.cli.running import Generation
    from decodekit.session import Session
    from decodekit.session.resuming import resume_stream
    from decodekit.trace.reader import inspect_trace
    from decodekit.trace.rebuild import chain_of, differences

    new_file(target)
    recorded, fault = inspect_trace(trace)
    if fault is not None and not fault.torn:
        raise fault
    header = recorded.header
    part = _adapter_part(chosen, header.config, as_recorded)
    with closing(blocking(registry.adapter(part.pop("type"), **part))) as live:
        if fault is not None:
            verb = "is" if fault.torn == 1 else "are"
            say(f"the last line of {trace} is incomplete: {counted(fault.torn, 'byte')} {verb} left out")
        for difference in differences(header.adapter, live.info):
            say(f"warning: {difference}")
        run = Generation(
            session=Session(live, chain_of(recorded), seed=header.seed),
            prompt="",
            call={"trace": target},
            streams=[stream for stream, _ in header.sequences],
            as_json=as_json,
            explain=explain,
            resumed=lambda: resume_stream(trace, live, max_tokens=max_tokens, deadline=deadline, trace=target),
        )
        code = run.go()
    if code == 0 and len(run.steps) == len(recorded.steps):
        say(f"nothing to do: {_why_nothing(run.reasons)}")
    raise typer.Exit(code)


def _why_nothing(reasons: set[str]) -> str:
    """Why a run has no more tokens, and whether it can have some."""
    if "length" in reasons:
        return "the run was complete; a larger --max-tokens continues it"
    return f"the run had ended ({', '.join(sorted(reasons))}), and a text that ended is not continued"


def _adapter_part(chosen: AdapterChoice, recorded: dict[str, Any] | None, as_recorded: bool) -> dict[str, Any]:
    """The adapter to build: its type and its parameters."""
    if as_recorded:
        file = None if recorded is None else load_config(recorded)
    else:
        file = chosen.file()
    part = chosen.part(None if file is None else file.as_data()["adapter"])
    if part is None:
        raise ConfigError(f"which model? Name one with --model, or a config with -c{_hint(recorded)}")
    for key, name in named_objects(part):
        raise ConfigError(
            f"{key} was a Python object ({name}), which the trace only names; resume the run in Python, with "
            "decodekit.resume(trace, adapter)"
        )
    return part


def _hint(config: dict[str, Any] | None) -> str:
    """The adapter that the trace names, as flags."""
    if config is None:
        return ""
    named = load_config(config).as_data()["adapter"]
    objects = dict(named_objects(named))
    settings = {key: value for key, value in named.items() if key not in ("type", "model", *objects)}
    flags = ["--adapter", str(named.get("type"))]
    flags += ["--model", str(named["model"])] if "model" in {*named} - {*objects} else []
    flags += [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    rest = f", and with Python objects as {', '.join(objects)}" if objects else ", which --as-recorded uses"
    return f". The trace was made with {shlex.join(flags)}{rest}"
