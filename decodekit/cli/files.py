"""The files that a call names, checked before a model is loaded."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from decodekit.config import Config, load_config, read_toml
from decodekit.errors import ConfigError

__all__ = ["new_file", "read_config"]


def read_config(path: Path) -> Config:
    """The configuration in a file; '-' reads it from stdin.

    Raises:
        ConfigError: as for `load_config`, or stdin cannot be read.
    """
    if str(path) != "-":
        return load_config(path)
    try:
        return load_config(read_toml(sys.stdin.buffer.read(), "the configuration on stdin"))
    except OSError as error:
        raise ConfigError(f"cannot read the configuration from stdin: {error.strerror}") from error


def new_file(path: Path | None) -> None:
    """Require that a file can be created here. If another process takes its name later, that is no wrong call.

    Raises:
        ConfigError: the file exists, or its folder does not.
    """
    if path is None:
        return
    if os.path.lexists(path):
        raise ConfigError(f"{path} exists; a trace is written once. Choose another path or remove it")
    if not path.parent.is_dir():
        raise ConfigError(f"cannot create {path}: there is no folder {str(path.parent)!r}")
