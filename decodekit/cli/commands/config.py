"""``decodekit config``: the schema of a configuration, and the check of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from decodekit.cli.config_text import config_lines
from decodekit.cli.files import read_config, read_profiles
from decodekit.cli.options import ProfileFlag
from decodekit.config import config_schema
from decodekit.text.safe_text import safe_text

__all__ = ["config_app"]

config_app = typer.Typer(help="The schema of a configuration, and the check of one.", no_args_is_help=True)


@config_app.command()
def schema() -> None:
    """Print the JSON Schema of a configuration, with the parameters of every plugin that is installed."""
    typer.echo(json.dumps(config_schema(), indent=2))


@config_app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A decodekit.toml, or '-' for stdin.")],
    profile: ProfileFlag = None,
) -> None:
    """Check a configuration without loading a model, and show it with where each value came from.

    Without --profile all of its profiles are checked too.

    A value is from the file, its profile, a variable of the environment (DECODEKIT__ADAPTER__MODEL) or a default.
    Secrets are not shown. Exit 2, with the reason, if it is not valid.
    """
    config, profiles = (read_config(file, profile), {}) if profile else read_profiles(file)
    for name, each in {str(file): config, **{f"profile {name}": other for name, other in profiles.items()}}.items():
        each.check()
        parts = " ".join(part.name for part in each.chain) or "no processors"
        typer.echo(safe_text(f"{name}: ok ({each.adapter.type}; {parts}; {each.sampler.name})"))
    for line in config_lines(config):
        typer.echo(safe_text(line))
