"""``decodekit config``: the schema of a configuration, and the check of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from decodekit.cli.config_text import config_lines
from decodekit.cli.files import read_config
from decodekit.cli.options import ProfileFlag
from decodekit.config import Config, config_schema
from decodekit.errors import ConfigError
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

    Without --profile each of its profiles is checked too.

    A value is from the file, its profile, a variable of the environment (DECODEKIT__ADAPTER__MODEL) or a default.
    Secrets are not shown. Exit 2, with the reason, if it is not valid.
    """
    config = read_config(file, profile)
    config.check()
    _check_profiles(config)
    names = " ".join(part.name for part in config.chain) or "no processors"
    typer.echo(safe_text(f"{file}: ok ({config.adapter.type}; {names}; {config.sampler.name})"))
    for line in config_lines(config):
        typer.echo(safe_text(line))


def _check_profiles(config: Config) -> None:
    """Check the configuration with each of its profiles. Raises `ConfigError` with what is wrong in each."""
    wrong = []
    for name, read in config.profiles.items():
        try:
            read().check()
        except ConfigError as error:
            wrong.append(f"with --profile {name}: {error}")
    if wrong:
        raise ConfigError("; ".join(wrong))
