"""The flags that choose the model, shared by all commands."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from decodekit.cli.files import given_config
from decodekit.cli.options import ProfileFlag
from decodekit.cli.output import say
from decodekit.config import Config
from decodekit.errors import ConfigError
from decodekit.plugin import registry
from decodekit.plugin.one_line import parse_setting

__all__ = ["AdapterChoice", "with_adapter_flags"]

AdapterFlag = Annotated[
    str | None, typer.Option("--adapter", help="The adapter's registered name; llamacpp by default.")
]
ModelFlag = Annotated[
    str | None, typer.Option("--model", "-m", help="The model: as of decodekit.open, or a name the --adapter knows.")
]
SetFlag = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A parameter of the adapter. Repeatable.")
]
ConfigFlag = Annotated[
    Path | None, typer.Option("--config", "-c", help="A decodekit.toml, or '-' for stdin; flags override it.")
]


@dataclass(frozen=True, slots=True)
class AdapterChoice:
    """The flags: an adapter by its type, its model and its other parameters, or a file with these and its profile."""

    adapter: AdapterFlag = None
    model: ModelFlag = None
    settings: SetFlag = None
    config: ConfigFlag = None
    profile: ProfileFlag = None

    def file(self) -> Config | None:
        """The configuration that the flags name; None without one.

        Raises:
            ConfigError: it cannot be read, or there is a profile and no configuration.
        """
        return given_config(self.config, self.profile)

    def part(self, file: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """A config's [adapter] table after the flags; None when neither is given.

        A flag that names another type drops the file's parameters: they belong to the other type.
        """
        if file is None and self.adapter is None and self.model is None and not self.settings:
            return None
        model = self.model
        if file is None and self.adapter is None and model is not None:
            from decodekit.session.named_model import adapter_named, is_configuration  # not needed by every command

            if is_configuration(model):
                raise ConfigError(f"--model names a model; a configuration is given with -c {model}")
            file, model = adapter_named(model), None
        part = dict(file or {})
        if self.adapter is not None and self.adapter != part.get("type"):
            part = {"type": self.adapter}
        part.setdefault("type", "llamacpp")
        if model is not None:
            part["model"] = model
        for setting in self.settings or ():
            key, value = parse_setting(setting)
            if key == "type":
                raise ConfigError("--set takes the adapter's parameters; its type is --adapter")
            part[key] = value
        return part

    def build(self, file: Config | None = None) -> Any | None:
        """The adapter that the flags or the config name; None when they name none.

        Args:
            file: the configuration, where it was read before: stdin can be read once.
        """
        file = file or self.file()
        part = self.part(None if file is None else file.as_data()["adapter"])
        return None if part is None else registry.adapter(part.pop("type"), **part)

    def configuration(self, overrides: Mapping[str, Any], session: Mapping[str, Any]) -> dict[str, Any]:
        """A whole configuration: the file, then the flags.

        Args:
            overrides: 'chain' and 'sampler' where flags replace those of the file.
            session: keys of [session] that flags set; None means not set.
        """
        file = self.file()
        data: dict[str, Any] = {} if file is None else file.as_data()
        if file is not None and "chain" not in overrides:
            for note in file.notes:
                say(note)
        part = self.part(data.get("adapter"))
        if part is None:
            raise ConfigError("which model? Name one with --model, or a config with -c decodekit.toml")
        set_by_flags = {key: value for key, value in session.items() if value is not None}
        return {**data, "adapter": part, **overrides, "session": {**data.get("session", {}), **set_by_flags}}


def with_adapter_flags(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose parameter ``chosen`` is replaced by the flags of `AdapterChoice`."""
    flags = [each.name for each in fields(AdapterChoice)]
    hints = {**get_type_hints(command, include_extras=True), **get_type_hints(AdapterChoice, include_extras=True)}

    def run(**given: Any) -> None:
        command(chosen=AdapterChoice(**{name: given.pop(name) for name in flags}), **given)

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    shown: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        if parameter.name == "chosen":
            shown += [inspect.Parameter(name, kind, default=None, annotation=hints[name]) for name in flags]
        else:
            shown.append(parameter.replace(annotation=hints[parameter.name]))
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in shown}
    return run
