"""Values that are shown, in messages and of a configuration, without what may be a secret."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["HIDDEN", "masked"]

HIDDEN = "[hidden]"

_NAMES = "key|secret|password|passwd|authorization|auth|token|credentials?"
_SECRET = re.compile(rf"(^|[_-])({_NAMES}|cookie|headers?)$", re.I)
_VARIABLE_OF = re.compile(rf"(^|[_-])({_NAMES})_env$", re.I)
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
_USER = re.compile(r"(?<=//)[^/@\s]+(?=@)")
_QUERY = re.compile(r"([?&][^=&\s]*=)[^&\s]+")
_HARMLESS = re.compile(r"-?\d{1,9}(\.\d+)?|true|false", re.I)


def masked(key: str, value: Any) -> Any:
    """A value without what may be a secret: by its name, or within an address.

    Args:
        key: of a parameter, or of a table in one. What a variable is named by is hidden where it cannot be its name.
        value: of any kind; lists and tables are gone through. A table of numbers is shown as it is.
    """
    if _SECRET.search(key):
        return HIDDEN
    if isinstance(value, str):
        if _VARIABLE_OF.search(key) and not _VARIABLE.fullmatch(value):
            return HIDDEN
        return _without_credentials(value)
    if isinstance(value, Mapping):
        if all(isinstance(each, bool | int | float) for each in value.values()):
            return dict(value)  # biases of tokens, by their texts
        return {name: masked(str(name), each) for name, each in value.items()}
    return [masked(key, each) for each in value] if isinstance(value, list | tuple) else value


def _without_credentials(text: str) -> str:
    """A text without the user, and without the values of the query, of an address in it."""
    if "://" not in text:
        return text

    def shown(found: re.Match[str]) -> str:
        name, given = found[1][1:-1], found[0][len(found[1]) :]
        harmless = _HARMLESS.fullmatch(given) and not _SECRET.search(name)
        return found[0] if harmless else f"{found[1]}{HIDDEN}"

    return _QUERY.sub(shown, _USER.sub(HIDDEN, text))
