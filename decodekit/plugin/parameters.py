"""Two ways to write a plugin: a class whose fields are its parameters, or a plain function with keyword parameters.

Either way the parameters are a pydantic model: checked, bounded, and refused when unknown.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any, get_type_hints
from weakref import WeakKeyDictionary

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError, create_model, model_validator

from decodekit.errors import ConfigError, ParameterError, message_of
from decodekit.plugin.traits import DECLARED
from decodekit.plugin.wording import explained

__all__ = [
    "FunctionPlugin",
    "Plugin",
    "keyword_names",
    "parameter_model",
    "parameter_schema",
    "require_keywords",
    "validated",
    "without_numpy",
]

_models: WeakKeyDictionary[Callable[..., Any], type[BaseModel]] = WeakKeyDictionary()
_CONFIG = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def without_numpy(value: Any) -> Any:
    """NumPy's scalars as Python's own, in lists, tuples and dicts too.

    Raises:
        ParameterError: a value is nested too deep, or holds itself.
    """
    try:
        return _plain(value)
    except RecursionError:
        raise ParameterError("a value is nested too deep, or holds itself") from None


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {_plain(key): _plain(each) for key, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_plain, value))
    return value


class _Parameters(BaseModel):
    model_config = _CONFIG

    @model_validator(mode="before")
    @classmethod
    def _plain_numbers(cls, parameters: Any) -> Any:
        """``top_k=np.int64(5)`` is 5."""
        return without_numpy(parameters)


class _Keywords(_Parameters):
    """The parameters of a plain function, or of a class that is not a `Plugin`."""

    model_config = ConfigDict(arbitrary_types_allowed=True)


class Plugin(_Parameters):
    """A processor or sampler whose fields are its parameters.

    Give every number a lower and an upper bound, and give the main parameter the name of the plugin. Define
    ``__call__``. The optional attributes (`decodekit.plugin.traits.Traits`) are class variables.

    Raises:
        ParameterError: a parameter is missing, unknown or out of its bounds, or given without its name.
    """

    if not TYPE_CHECKING:  # a type checker makes the signature from the fields

        def __init__(self, /, *unnamed: Any, **parameters: Any) -> None:
            owner, known = f"plugin {type(self).__name__!r}", _names(type(self))
            if unnamed:
                raise ParameterError(f"{owner}: {unnamed[0]!r} has no name; its parameters are {', '.join(known)}")
            try:
                super().__init__(**parameters)
                return
            except ValidationError as error:
                said = explained(error.errors(), parameters, lambda _: known, owner)
            raise ParameterError(said)

        __init__.__pydantic_base_init__ = True  # so that `validated`, which names the kind too, does not call it


class FunctionPlugin:
    """A plain function with its keyword parameters filled in."""

    def __init__(self, function: Callable[..., Any], name: str, parameters: Mapping[str, Any]) -> None:
        self.function = function
        self.name = name
        self.parameters = dict(parameters)
        for attribute in DECLARED:
            if hasattr(function, attribute):
                setattr(self, attribute, getattr(function, attribute))

    def __call__(self, *args: Any) -> Any:
        return self.function(*args, **self.parameters)

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{key}={value!r}' for key, value in self.parameters.items())})"


def parameter_model(target: Callable[..., Any], owner: str | None = None) -> type[BaseModel]:
    """The pydantic model of a plugin's parameters: the class itself, or one made from the keyword parameters.

    Args:
        target: the plugin's class or function.
        owner: how errors name the plugin; its own name by default.

    Raises:
        ConfigError: the parameters cannot be read, for example because a type hint uses an undefined name.
    """
    if isinstance(target, type) and issubclass(target, BaseModel):
        return target
    try:
        known = _models.get(target)
    except TypeError:  # a callable object without a hash, or with slots
        return _model_of(target, owner)
    if known is None:
        known = _models[target] = _model_of(target, owner)
    return known


def _model_of(target: Callable[..., Any], owner: str | None) -> type[BaseModel]:
    name = getattr(target, "__name__", "plugin")
    function = target.__init__ if isinstance(target, type) else target  # type: ignore[misc]
    try:
        hints = get_type_hints(function, include_extras=True)
        fields: dict[str, Any] = {
            name: (hints.get(name, Any), ... if parameter.default is parameter.empty else parameter.default)
            for name, parameter in inspect.signature(target).parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY
        }
        return create_model(f"{name}_parameters", __base__=_Keywords, **fields)
    except Exception as error:  # a hint can be any expression; pydantic raises several errors for one that is no type
        raise ConfigError(f"the parameters of {owner or repr(name)} cannot be read: {message_of(error)}") from error


def require_keywords(target: Callable[..., Any], passed: Sequence[str], owner: str) -> None:
    """Refuse a plugin with a parameter that could never be set: parameters are keyword-only.

    Args:
        target: the plugin's class or function.
        passed: the names of what a function is called with besides its parameters, for the error.
        owner: how errors name the plugin.

    Raises:
        ParameterError: a parameter is not keyword-only, or a function takes less than it is called with.
    """
    if isinstance(target, type) and issubclass(target, BaseModel):
        return
    try:
        parameters = list(inspect.signature(target).parameters.values())
    except (TypeError, ValueError):  # a callable without a signature
        return
    room = [] if isinstance(target, type) else list(passed)
    places = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    taken = [each.name for each in places[: len(room)]]
    if len(places) > len(room):
        name = places[len(room)].name
        start = "self, " if isinstance(target, type) else "".join(f"{each}, " for each in taken)
        called = "__init__" if isinstance(target, type) else getattr(target, "__name__", "plugin")
        way = f"write a * before it: def {called}({start}*, {name}, ...)"
        if is_dataclass(target):
            way = "write @dataclass(kw_only=True)"
        raise ParameterError(f"{owner}: its parameter {name!r} is not keyword-only, so it could not be set; {way}")
    if len(places) < len(room) and not any(each.kind is each.VAR_POSITIONAL for each in parameters):
        raise ParameterError(f"{owner}: it is called with ({', '.join(room)}), and takes only ({', '.join(taken)})")


def keyword_names(target: Callable[..., Any]) -> set[str]:
    """The names of a plugin's parameters, as far as it has a signature. Its type hints are not read."""
    if isinstance(target, type) and issubclass(target, BaseModel):
        return set(target.model_fields)
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):  # a callable without a signature
        return set()
    return {each.name for each in parameters if each.kind is each.KEYWORD_ONLY}


def parameter_schema(target: Callable[..., Any], owner: str) -> dict[str, Any]:
    """The JSON Schema of a plugin's parameters.

    Raises:
        ConfigError: they cannot be read, or have no schema.
    """
    try:
        return parameter_model(target, owner).model_json_schema()
    except ConfigError:
        raise
    except Exception as error:  # a parameter that is no JSON type; pydantic raises several errors for that
        raise ConfigError(f"the parameters of {owner} have no schema: {message_of(error)}") from error


def _names(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def validated(model: type[BaseModel], parameters: Mapping[str, Any], owner: str) -> BaseModel:
    """An instance of the model. Raises `ParameterError`, which names the owner, the field and the way out."""
    try:
        return model.model_validate(dict(parameters))
    except ValidationError as error:
        known = _names(model)
        said = explained(error.errors(), parameters, lambda _: known, owner)
    raise ParameterError(said)  # out here it does not hold pydantic's error, which holds the values, secrets too
