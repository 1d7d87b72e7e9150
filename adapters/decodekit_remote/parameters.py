"""Parameters whose values may be a secret in the wrong place: they are checked before an adapter is made."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from decodekit.errors import ParameterError

__all__ = ["BaseUrl", "KeyVariable", "checked_url"]

_VARIABLE = "[A-Z_][A-Z0-9_]{0,127}"
# What a schema can say of a URL.
_URL = r"^[Hh][Tt][Tt][Pp][Ss]?://([^/?#@\s\[\]:]+|\[[0-9A-Fa-f:.]+\])(:[0-9]*)?(/[^?#]*)?$"


def checked_url(url: str) -> str:
    """The URL of a server. Raises `ParameterError` for another, without the secrets that may be in it."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it checks it
    except ValueError as error:
        raise ParameterError(str(error)) from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        bare = url.split("?")[0].rsplit("@")[-1]
        raise ParameterError(f"an http or https URL such as http://127.0.0.1:8080, not {bare!r}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ParameterError("no user, password, query or fragment; a key goes into a variable: api_key_env")
    return url


def _variable(name: str) -> str:
    if not re.fullmatch(_VARIABLE, name):  # it may be the key itself by mistake, so it is not repeated
        raise ParameterError("the name of an environment variable, in capitals; never the key itself")
    return name


BaseUrl = Annotated[
    str, Field(min_length=1, max_length=2048, json_schema_extra={"pattern": _URL}), AfterValidator(checked_url)
]
KeyVariable = Annotated[
    str, Field(max_length=128, json_schema_extra={"pattern": f"^{_VARIABLE}$"}), AfterValidator(_variable)
]
