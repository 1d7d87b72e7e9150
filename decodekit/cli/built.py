"""The adapter of a command that asks the model itself, closed at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from decodekit.cli.adapter_choice import AdapterChoice
from decodekit.errors import ConfigError
from decodekit.model.adapter import Adapter
from decodekit.model.asking import blocking

__all__ = ["built_adapter"]


@contextmanager
def built_adapter(chosen: AdapterChoice) -> Iterator[Adapter]:
    """The adapter that the flags name, blocking.

    Raises:
        ConfigError: they name none, or name one that is not there.
    """
    made = chosen.build()
    if made is None:
        raise ConfigError("which model? Name one with --model, or a config with -c decodekit.toml")
    model = blocking(made)
    try:
        yield model
    finally:
        model.close()
