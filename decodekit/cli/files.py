"""The files that a call names, checked before a model is loaded."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from decodekit.config import Config
from decodekit.config.loading import config_bytes, read_config_bytes, read_toml
from decodekit.errors import ConfigError

__all__ = ["given_config", "new_file", "read_config", "read_profiles"]


def read_config(path: Path, profile: str | None = None) -> Config:
    """The configuration in a file, with one of its profiles; '-' reads it from stdin.

    Raises:
        ConfigError: as for `load_config`, or stdin cannot be read.
    """
    return read_config_bytes(*_read(path), profile=profile)


def read_profiles(path: Path) -> tuple[Config, dict[str, Config]]:
    """The configuration in a file without a profile, and with each of its profiles, from one reading.

    Raises:
        ConfigError: as for `read_config`, of the first that is not valid.
    """
    written, where = _read(path)
    config = read_config_bytes(written, where)
    names = read_toml(written, where).get("profiles", {})
    return config, {name: read_config_bytes(written, where, profile=name) for name in names}


def _read(path: Path) -> tuple[bytes, str]:
    """The bytes of a configuration, and what errors call it."""
    if str(path) != "-":
        return config_bytes(path), str(path)
    try:
        return sys.stdin.buffer.read(), "the configuration on stdin"
    except OSError as error:
        raise ConfigError(f"cannot read the configuration from stdin: {error.strerror}") from error


def given_config(path: Path | None, profile: str | None) -> Config | None:
    """As `read_config`, where a file may be left out.

    Raises:
        ConfigError: as for `read_config`; or there is a profile and no file.
    """
    if path is not None:
        return read_config(path, profile)
    if profile is not None:
        raise ConfigError("--profile names a part of a config; give its file too")
    return None


def new_file(path: Path | None, what: str = "a trace") -> None:
    """Require that a file can be created here. If another process takes its name later, that is no wrong call.

    Raises:
        ConfigError: the file exists, or its folder does not.
    """
    if path is None:
        return
    if os.path.lexists(path):
        raise ConfigError(f"{path} exists; {what} is written once. Choose another path or remove it")
    if not path.parent.is_dir():
        raise ConfigError(f"cannot create {path}: there is no folder {str(path.parent)!r}")
