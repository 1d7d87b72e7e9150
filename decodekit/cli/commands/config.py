"""``decodekit config``: the schema of a configuration, and the check of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from decodekit.cli.files import read_config
from decodekit.config import config_schema
from decodekit.plugin import parameter_model, registry, validated
from decodekit.text.safe_text import safe_text

__all__ = ["config_app"]

config_app = typer.Typer(help="The schema of a configuration, and the check of one.", no_args_is_help=True)


@config_app.command()
def schema() -> None:
    """Print the JSON Schema of a configuration, with the parameters of every plugin that is installed."""
    typer.echo(json.dumps(config_schema(), indent=2))


@config_app.command()
def check(file: Annotated[Path, typer.Argument(metavar="FILE", help="A decodekit.toml, or '-' for stdin.")]) -> None:
    """Check a configuration without loading a model. Exit 2, with the reason, if it is not valid."""
    config = read_config(file)
    target, _ = registry.load("adapters", config.adapter.type)
    validated(parameter_model(target), config.adapter.parameters(), f"adapter {config.adapter.type!r}")
    config.build_chain()
    if config.guesser is not None:
        target, _ = registry.load("guessers", config.guesser.name)
        validated(parameter_model(target), config.guesser.parameters(), f"guesser {config.guesser.name!r}")
    names = " ".join(part.name for part in config.chain) or "no processors"
    typer.echo(safe_text(f"{file}: ok ({config.adapter.type}; {names}; {config.sampler.name})"))
