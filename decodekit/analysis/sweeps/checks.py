"""What says whether a text is right: equality, a regular expression, or a user's function. Nothing runs here."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from decodekit.errors import ConfigError, ParameterError, brief

__all__ = ["Check", "CheckFunction", "check_of"]

CheckFunction = Callable[[str, Any], bool | float]


@dataclass(frozen=True, slots=True)
class Check:
    """A check that is not running.

    Args:
        name: as the user gave it.
        identity: of its code, so that its results can be used again; None where that is not known.
        spec: what the process is told; None for one that runs here.
        function: that runs here.
        hangs: whether it could take forever.
    """

    name: str
    identity: str | None
    spec: dict[str, Any] | None = None
    function: CheckFunction | None = None
    hangs: bool = True


def check_of(given: str | re.Pattern[str] | CheckFunction) -> Check:
    """A check: 'exact'; 'regex:PATTERN' or a compiled one; 'file.py:function', 'module:function' or a function.

    'exact' compares text and answer without the white space around them. A pattern is searched in the text; if it has a
    group and there is an answer, the first group must be that. A function takes the text and the answer, and returns
    a truth value or a number from 0 to 1.

    Raises:
        ParameterError, ConfigError: it is none of these, or cannot be read.
    """
    if isinstance(given, re.Pattern) and isinstance(given.pattern, str):
        spec = _pattern(given.pattern, given.flags)
        return Check(f"regex:{given.pattern}", f"regex:{spec['pattern']}", spec)
    if callable(given):
        return _of_function(given)
    if not isinstance(given, str):
        raise ParameterError(f"check is 'exact', 'regex:...', 'file.py:function' or a function, not {brief(given)}")
    if given == "exact":
        return Check("exact", "exact", function=lambda text, answer: text.strip() == str(answer).strip(), hangs=False)
    kind, _, rest = given.partition(":")
    if kind == "regex" and rest:
        return Check(given, given, _pattern(rest, 0))
    where, _, name = given.rpartition(":")
    if not where or not name:
        raise ConfigError(f"check: {given!r} is none of exact, regex:PATTERN, file.py:function and module:function")
    if not where.endswith(".py"):
        return Check(given, None, {"module": where, "name": name, "path": _search_path()})
    file = Path(where)
    try:
        code = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"check: cannot read {where}: {error.strerror}") from error
    spec = {"file": str(file.resolve()), "name": name, "path": _search_path()}
    return Check(given, f"{name}:{blake2b(code, digest_size=16).hexdigest()}", spec)


def _pattern(pattern: str, flags: int) -> dict[str, Any]:
    try:
        re.compile(pattern, flags)
    except (re.error, ValueError) as error:
        raise ConfigError(f"check: {pattern!r} is no regular expression: {error}") from None
    letters = "".join(letter for letter, flag in zip("aimsx", (256, 2, 8, 16, 64), strict=True) if flags & flag)
    return {"pattern": f"(?{letters}){pattern}" if letters else pattern}


def _of_function(function: CheckFunction) -> Check:
    name = getattr(function, "__qualname__", type(function).__name__)
    try:
        inspect.signature(function).bind("text", None)
    except TypeError as error:
        raise ParameterError(f"check: {name} takes the text and the answer of its prompt: {error}") from None
    except ValueError:  # a function of C has no signature
        pass
    module = getattr(function, "__module__", None) or "__main__"
    found: Any = None if module == "__main__" else sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not function or not getattr(sys.modules[module], "__file__", None):
        return Check(name, None, function=function)
    return Check(f"{module}:{name}", None, {"module": module, "name": name, "path": _search_path()})


def _search_path() -> list[str]:
    return [str(Path(each or ".").resolve()) for each in sys.path]
