"""Objects that never change, and attributes of theirs that are computed once, on first use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from typing import Any, Generic, NoReturn, TypeVar, overload

__all__ = ["Frozen", "lazy", "quick_init"]

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


def quick_init(cls: type[T]) -> type[T]:
    """A frozen dataclass with slots whose instances are made in less than half the time; used as a decorator over it.

    A frozen dataclass sets its fields with ``object.__setattr__``, one call for each. Here an instance is of a class
    without the guard while its fields are set, as in `Frozen`. A subclass gets the usual ``__init__``.
    """
    parts: tuple[Field[Any], ...] = fields(cls)  # type: ignore[arg-type]  # it is a dataclass
    usual: Any = cls.__init__
    names = [part.name for part in parts]
    made_new = {part.name: part.default_factory for part in parts if part.default_factory is not MISSING}
    defaults = {part.name: part.default for part in parts if part.default is not MISSING or part.name in made_new}
    parameters = ", ".join(f"{name}=defaults_{name}" if name in defaults else name for name in names)
    lines = [
        f"def __init__(self, {parameters}):",
        *(f"    if {name} is MISSING: {name} = new_{name}()" for name in made_new),
        "    if type(self) is not cls:",
        f"        return usual(self, {', '.join(names)})",
        "    become(self, '__class__', opened)",
        *(f"    self.{name} = {name}" for name in names),
        "    self.__class__ = cls",
    ]
    opened = type(cls.__name__, (), {"__slots__": names})
    known = {"cls": cls, "usual": usual, "opened": opened, "become": object.__setattr__, "MISSING": MISSING}
    known |= {f"defaults_{name}": value for name, value in defaults.items()}
    known |= {f"new_{name}": make for name, make in made_new.items()}
    exec("\n".join(lines), known)  # noqa: S102 - as `dataclasses` does
    made: Any = known["__init__"]
    made.__qualname__, made.__doc__, made.__annotations__ = usual.__qualname__, usual.__doc__, usual.__annotations__
    cls.__init__ = made  # type: ignore[method-assign]
    return cls
