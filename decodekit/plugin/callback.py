"""A caller's own function, which is called between two tokens: nobody awaits what it returns."""

from __future__ import annotations

from inspect import iscoroutine, iscoroutinefunction

from decodekit.errors import ParameterError

__all__ = ["is_async", "require_function"]


def require_function(given: object, name: str, takes: str) -> None:
    """Refuse what is no function, and what is an async one.

    Args:
        given: what was given.
        name: of the option.
        takes: what the function takes, such as 'a step'.

    Raises:
        ParameterError: it is no function, or an async one.
    """
    if not callable(given):
        raise ParameterError(f"{name} is a function of {takes}, not {given!r}")
    if is_async(given):
        raise ParameterError(f"{name} is called between two tokens and not awaited; define it without async")


def is_async(given: object) -> bool:
    """Whether this is an async function, an object that is called as one, or what such a call returned.

    A coroutine is closed: it would be complained of as never awaited.
    """
    if iscoroutine(given):
        given.close()
        return True
    return iscoroutinefunction(given) or (callable(given) and iscoroutinefunction(type(given).__call__))
