"""The flags that several commands share, and how they override a config file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from decodekit.cli.chain_text import parse_preset, parse_setting
from decodekit.cli.output import say
from decodekit.config import load_config
from decodekit.errors import ConfigError, ParameterError
from decodekit.plugin import registry
from decodekit.plugin.presets import Recipe, read_recipe

__all__ = [
    "AdapterFlag",
    "ConfigFlag",
    "DeadlineFlag",
    "JsonFlag",
    "ModelFlag",
    "PresetFlag",
    "SetFlag",
    "TraceArgument",
    "adapter_part",
    "build_adapter",
    "checked_deadline",
    "merged",
    "preset_recipe",
]

AdapterFlag = Annotated[
    str | None, typer.Option("--adapter", help="The adapter's registered name; llamacpp where nothing says otherwise.")
]
ModelFlag = Annotated[str | None, typer.Option("--model", "-m", help="The model: a path, or a name the adapter knows.")]
SetFlag = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A parameter of the adapter. Repeatable.")
]
ConfigFlag = Annotated[Path | None, typer.Option("--config", "-c", help="A decodekit.toml; flags override it.")]
DeadlineFlag = Annotated[float | None, typer.Option("--deadline", help="Begin no token after so many seconds.")]
JsonFlag = Annotated[bool, typer.Option("--json", help="One JSON value on stdout.")]
PresetFlag = Annotated[
    str | None,
    typer.Option(
        "--preset", metavar="TEXT", help="Another engine's chain, in its own names: 'llama.cpp temp=0.8 top_k=40'."
    ),
]
TraceArgument = Annotated[Path, typer.Argument(metavar="TRACE", help="A trace file.")]


def preset_recipe(text: str, chain: str | None) -> Recipe:
    """What ``--preset`` asks for, where ``--chain`` asks for nothing."""
    if chain is not None:
        raise ConfigError("--chain and --preset are two chains; give one")
    return read_recipe(*parse_preset(text))


def adapter_part(
    file: Mapping[str, Any] | None, adapter: str | None, model: str | None, settings: Sequence[str] | None
) -> dict[str, Any] | None:
    """The config's [adapter] table after the flags; None when neither says anything.

    A flag that names another type drops the file's parameters: they belong to the type they were written for.
    """
    if file is None and adapter is None and model is None and not settings:
        return None
    part = dict(file or {})
    if adapter is not None and adapter != part.get("type"):
        part = {"type": adapter}
    part.setdefault("type", "llamacpp")
    if model is not None:
        part["model"] = model
    for setting in settings or ():
        key, value = parse_setting(setting)
        if key == "type":
            raise ConfigError("--set takes the adapter's parameters; its type is --adapter")
        part[key] = value
    return part


def checked_deadline(deadline: float | None) -> float | None:
    """A number of seconds, or `ParameterError`."""
    if deadline is not None and not (math.isfinite(deadline) and deadline >= 0):
        raise ParameterError(f"--deadline is a number of seconds, not {deadline}")
    return deadline


def build_adapter(
    config: Path | None, adapter: str | None, model: str | None, settings: Sequence[str] | None
) -> Any | None:
    """The adapter that a config or flags name; None when they name none."""
    file = load_config(config).as_data()["adapter"] if config is not None else None
    part = adapter_part(file, adapter, model, settings)
    return None if part is None else registry.adapter(part.pop("type"), **part)


def merged(
    config: Path | None,
    adapter: str | None,
    model: str | None,
    settings: Sequence[str] | None,
    overrides: Mapping[str, Any],
    session: Mapping[str, Any],
) -> dict[str, Any]:
    """A whole configuration: the file, then the flags.

    Args:
        config: the file, or None.
        adapter: the flags of `adapter_part`, with model and settings.
        overrides: 'chain' and 'sampler' where flags replace those of the file.
        session: keys of [session] that flags set; None means not set.
    """
    file = None if config is None else load_config(config)
    data: dict[str, Any] = {} if file is None else file.as_data()
    if file is not None and "chain" not in overrides:
        for note in file.notes:
            say(note)
    part = adapter_part(data.get("adapter"), adapter, model, settings)
    if part is None:
        raise ConfigError("which model? Name one with --model, or a config with -c decodekit.toml")
    set_by_flags = {key: value for key, value in session.items() if value is not None}
    return {**data, "adapter": part, **overrides, "session": {**data.get("session", {}), **set_by_flags}}
