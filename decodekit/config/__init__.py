"""Configuration: a TOML file, or the same structure as a dict, checked before anything is built.

A config names registered plugins and gives them parameters; it never names code. Secrets stay in the environment: an
adapter that needs one takes the *name* of a variable (``api_key_env``), never the secret.
"""

from decodekit.config.loading import check_session_part, load_config, read_toml
from decodekit.config.model import Config
from decodekit.config.schema import config_schema

__all__ = ["Config", "check_session_part", "config_schema", "load_config", "read_toml"]
