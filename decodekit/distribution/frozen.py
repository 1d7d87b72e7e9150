"""Objects that never change, and attributes of theirs that are computed once, on first use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, NoReturn, TypeVar, overload

__all__ = ["Frozen", "lazy"]

T = TypeVar("T")


class Frozen:
    """Attributes cannot be set or deleted.

    A subclass also derives from a class of fields without this guard. It makes an instance of that class, sets the
    fields, and then assigns ``__class__``: several times faster than ``object.__setattr__`` for each field.
    """

    __slots__ = ()

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a {type(self).__name__} never changes; {name} cannot be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a {type(self).__name__} never changes; {name} cannot be deleted")


class lazy(Generic[T]):  # noqa: N801 - it is used as a decorator, and reads as one
    """``functools.cached_property`` without the lock that Python 3.11 takes: a step computes forty of these.

    Two threads may compute the same value twice; both are the same, since what it decorates never changes.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self._name = compute.__name__
        self.__doc__ = compute.__doc__

    @overload
    def __get__(self, owner: None, kind: type) -> lazy[T]: ...
    @overload
    def __get__(self, owner: object, kind: type) -> T: ...
    def __get__(self, owner: object | None, kind: type) -> lazy[T] | T:
        if owner is None:
            return self
        value = owner.__dict__[self._name] = self._compute(owner)
        return value

    def known(self, owner: object) -> T | None:
        """The value where it was computed before; None otherwise."""
        return owner.__dict__.get(self._name)

    def put(self, owner: object, value: T) -> None:
        """Store the value of one object, so that it is not computed."""
        owner.__dict__[self._name] = value
