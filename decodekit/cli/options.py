"""The flags that several commands share; those that name an adapter are in `decodekit.cli.adapter_choice`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from decodekit.errors import ConfigError
from decodekit.plugin.one_line import parse_preset
from decodekit.plugin.presets import Recipe, read_recipe

__all__ = [
    "DeadlineFlag",
    "ExplainFlag",
    "JsonFlag",
    "PlotFlag",
    "PresetFlag",
    "ProfileFlag",
    "TraceArgument",
    "preset_recipe",
]

DeadlineFlag = Annotated[float | None, typer.Option("--deadline", help="Start no new token after this many seconds.")]
ExplainFlag = Annotated[
    int | None, typer.Option("--explain", metavar="STEP", help="At the end show this step; -1 is the last.")
]
JsonFlag = Annotated[bool, typer.Option("--json", help="One JSON value on stdout.")]
PlotFlag = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE", help="Write a plot here, as .png or .svg; see the extra plots.")
]
PresetFlag = Annotated[
    str | None,
    typer.Option(
        "--preset", metavar="TEXT", help="Another engine's chain, in its own names: 'llama.cpp temp=0.8 top_k=40'."
    ),
]
ProfileFlag = Annotated[
    str | None, typer.Option("--profile", metavar="NAME", help="The [profiles.NAME] of the config to use.")
]
TraceArgument = Annotated[
    Path, typer.Argument(metavar="TRACE", exists=True, dir_okay=False, readable=True, help="A trace file.")
]


def preset_recipe(text: str, chain: str | None) -> Recipe:
    """The chain of ``--preset``; an error if ``--chain`` is given too."""
    if chain is not None:
        raise ConfigError("--chain and --preset both give a chain; give only one")
    return read_recipe(*parse_preset(text))
