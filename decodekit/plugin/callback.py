"""A caller's own function, which is called between two tokens: nobody awaits or iterates what it returns."""

from __future__ import annotations

import inspect

from decodekit.errors import ParameterError

__all__ = ["comes_later", "require_function"]

_KINDS = (inspect.iscoroutinefunction, inspect.isasyncgenfunction, inspect.isgeneratorfunction)
_MADE = (inspect.isawaitable, inspect.isasyncgen, inspect.isgenerator)


def require_function(given: object, name: str, takes: str) -> None:
    """Refuse what is no function, and one that does nothing before it is awaited or iterated.

    Args:
        given: what was given.
        name: of the option.
        takes: what the function takes, such as 'a step'.

    Raises:
        ParameterError: it is no function, or an async one or a generator.
    """
    if not callable(given):
        raise ParameterError(f"{name} is a function of {takes}, not {given!r}")
    if comes_later(given):
        raise ParameterError(f"{name} is called between two tokens and not awaited; define it without async and yield")


def comes_later(given: object) -> bool:
    """Whether this is an async or generator function, an object that is called as one, or what such a call returned.

    A coroutine is closed: it would be complained of as never awaited.
    """
    if any(is_one(given) for is_one in _MADE):
        if inspect.iscoroutine(given):
            given.close()
        return True
    return any(is_one(given) or (callable(given) and is_one(type(given).__call__)) for is_one in _KINDS)
